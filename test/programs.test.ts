import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrol } from '../device/enrol.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

const SKYLARK = new URL('../cli/bin.js', import.meta.url).pathname;
const ACTION = new URL('../cli/action/index.js', import.meta.url).pathname;
const DEVICE = new URL('../device/bin.js', import.meta.url).pathname;

let sky: Skylark;
let directory: string;
const file = (name: string) => join(directory, name);

async function run(program: string, args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH: process.env.PATH, ...env },
    cwd: directory,
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, out, err };
}

const cli = (args: string[], env: Record<string, string> = {}) =>
  run(SKYLARK, args, { SKYLARK_URL: sky.facts.url, SKYLARK_API_KEY: sky.facts.api_key, ...env });

describe('the programs, as CI and a device maker run them', () => {
  beforeAll(async () => {
    sky = await startSkylark();
    directory = mkdtempSync(join(tmpdir(), 'skylark-programs-'));
    writeFileSync(file('fw.bin'), randomBytes(100_000));
  });
  afterAll(async () => {
    rmSync(directory, { recursive: true, force: true });
    await sky.stop();
  });

  it('skylark: exits with 2 on wrong usage, and says what was wrong', async () => {
    for (const [args, words] of [
      [['nonsense'], /unknown command/],
      [['firmware', 'upload', 'fw.bin', '--model', 'M'], /--version/],
      [['firmware', 'upload', 'no-such-file', '--model', 'M', '--version', 'v1'], /no file/],
      [['firmware', 'upload', '.', '--model', 'M', '--version', 'v1'], /no file/],
      [['campaign', 'create', 'x', '--firmware', 'M/v1', '--success-threshold', 'lots'], /percentage/],
    ] as const) {
      const { code, err } = await cli([...args]);
      expect([args, code]).toEqual([args, 2]);
      expect(err).toMatch(words);
    }
    expect((await run(SKYLARK, ['device', 'list'])).code).toBe(2);
    expect((await cli(['--help'])).code).toBe(0);
  });

  it('skylark: uploads without a key, publishes later with one, and repeats without harm', async () => {
    const upload = ['firmware', 'upload', 'fw.bin', '--version', 'v1.0.1', '--model', 'TX-100', '--json'];
    const first = await cli(upload);
    expect([first.code, JSON.parse(first.out).state]).toEqual([0, 'uploaded']);
    expect(first.out.trim().split('\n')).toHaveLength(1);
    expect((await cli(['campaign', 'create', 'x', '--firmware', 'TX-100/v1.0.1'])).code).toBe(1);
    const key = { SKYLARK_RELEASE_KEY: sky.facts.release_key };
    const published = await cli(['firmware', 'publish', 'TX-100/v1.0.1', '--json'], key);
    expect([published.code, JSON.parse(published.out).state]).toEqual([0, 'published']);
    expect(JSON.parse((await cli(upload, key)).out)).toMatchObject({
      id: JSON.parse(first.out).id,
      state: 'published',
    });
    writeFileSync(file('other.bin'), randomBytes(10));
    const other = await cli(['firmware', 'upload', 'other.bin', '--version', 'v1.0.1', '--model', 'TX-100']);
    expect([other.code, other.err]).toEqual([1, expect.stringContaining('Version taken')]);
  });

  it('skylark: uploads an app with its documents, and takes it back', async () => {
    writeFileSync(file('sbom.json'), '{"bomFormat":"CycloneDX"}');
    const args = ['--version', 'v2.0.0', '--model', 'TX-100', '--kind', 'app', '--name', 'maps', '--json'];
    const key = { SKYLARK_RELEASE_KEY: sky.facts.release_key };
    const { code, out } = await cli(['firmware', 'upload', 'fw.bin', ...args, '--sbom', 'sbom.json'], key);
    expect([code, JSON.parse(out)]).toMatchObject([0, { kind: 'app', name: 'maps', state: 'published' }]);
    expect(JSON.parse(out).sbom).toMatch(/^sha256:/);
    expect((await cli(['firmware', 'upload', 'fw.bin', ...args.slice(0, 4), '--name', 'maps'])).code).toBe(2);
    expect((await cli(['firmware', 'upload', 'fw.bin', ...args.slice(0, 4), '--kind', 'other'])).code).toBe(
      2,
    );
    const back = await cli(['firmware', 'withdraw', 'TX-100/maps@v2.0.0', '--reason', 'crashes', '--json']);
    expect(JSON.parse(back.out)).toMatchObject({ state: 'withdrawn', withdrawn_reason: 'crashes' });
  });

  it('skylark: makes keys only their owner can read, takes them from the environment, and asks for what is missing', async () => {
    const made = await cli([
      'keys',
      'init',
      '--dir',
      'own',
      '--root-keys',
      '2',
      '--root-threshold',
      '2',
      '--json',
    ]);
    expect(made.code).toBe(0);
    for (const name of ['root', 'root-2', 'targets', 'release', 'online'])
      expect(statSync(file(`own/${name}.pem`)).mode & 0o777).toBe(0o600);
    expect((await cli(['keys', 'init', '--dir', 'x', '--root-threshold', '2'])).code).toBe(2);
    for (const models of ['a/b', 'root', 'TX-1,TX-1', 'TX-1,release', ''])
      expect((await cli(['keys', 'init', '--dir', 'x', '--models', models])).code).toBe(2);
    expect(existsSync(file('x'))).toBe(false);
    const pem = readFileSync(file('own/release.pem'), 'utf8').replaceAll('\n', '\\n');
    await cli(['keys', 'init', '--dir', 'ci', '--models', 'TX-1'], { SKYLARK_RELEASE_KEY: pem });
    expect(readdirSync(file('ci'))).not.toContain('release.pem');
    const { signed } = JSON.parse(readFileSync(file('ci/1.targets.json'), 'utf8'));
    expect(signed.delegations.roles.map((role: { paths: string[] }) => role.paths)).toEqual([['TX-1/*']]);

    const root = (await cli(['keys', 'rotate', 'root', '--dir', 'own'])).err;
    expect(root).toMatch(/--replace/);
    const [id = ''] = JSON.parse(readFileSync(file('own/1.root.json'), 'utf8')).signed.roles.root.keyids;
    renameSync(file('own/root-2.pem'), file('root-2.pem'));
    const rotated = await cli(['keys', 'rotate', 'root', '--dir', 'own', '--replace', id, '--json']);
    expect(JSON.parse(rotated.out).todo).toHaveLength(2);
    const signedToo = await cli(['keys', 'sign', 'own/2.root.json', '--key', 'root-2.pem', '--json']);
    expect(JSON.parse(signedToo.out).keyids).toHaveLength(3);
  });

  it('skylark: makes, previews, changes and steers campaigns', async () => {
    const key = { SKYLARK_RELEASE_KEY: sky.facts.release_key };
    await cli(['firmware', 'upload', 'fw.bin', '--version', 'v1.0.0', '--model', 'CLI-1'], key);
    for (const serial_no of ['C-1', 'C-2'])
      await sky.api('POST', '/devices/register', { serial_no, model: 'CLI-1' });
    writeFileSync(file('some.csv'), 'serial_no,note\nC-1,x\nC-2,y\nC-9,z\n');
    const json = async (...args: string[]) => {
      const { code, out, err } = await cli(['campaign', ...args, '--json']);
      expect([code, err]).toEqual([0, '']);
      return JSON.parse(out);
    };
    const firmware = ['--firmware', 'CLI-1/v1.0.0'];
    expect(await json('preview', ...firmware, '--serials-file', 'some.csv')).toMatchObject({
      count: 2,
      unknown_serial_nos: 1,
      stages: [{ name: 'one device', devices: 1 }, { devices: 1 }, {}, {}],
    });
    const window = ['--window', 'mon-fri 01:00-05:00 Europe/Berlin', '--window', 'sun 00:00-23:59 device'];
    const pace = [
      '--ramp',
      '10,2,5',
      '--rate',
      '100',
      '--max-per-gateway',
      '3',
      '--end-at',
      '2099-01-01T00:00:00Z',
    ];
    const kind = [
      '--kind',
      'soft',
      '--postpone-limit',
      '3600',
      '--no-safe-mode',
      '--percentage',
      '50',
      '--dynamic',
    ];
    const made = await json('create', 'Night', ...firmware, ...window, ...pace, ...kind);
    expect(made).toMatchObject({
      kind: 'soft',
      postpone_limit_s: 3600,
      max_per_gateway: 3,
      ramp: { base_rate_per_minute: 10, increment_factor: 2, successes: 5 },
      windows: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri'] }, { time_zone: 'device' }],
      target: { percentage: 50, dynamic: true },
    });
    expect(made.stages[0].name).toBe('canary');
    const edited = await json(
      'edit',
      made.id,
      '--window',
      'none',
      '--ramp',
      'none',
      '--success-threshold',
      '80',
    );
    expect(edited).toMatchObject({
      windows: [],
      ramp: null,
      stages: [{ success_threshold: 80 }, {}, {}, {}],
    });
    const own = await cli(['campaign', 'approve', made.id]);
    expect([own.code, own.err]).toEqual([1, expect.stringContaining('somebody else has to approve')]);
    const stages = ['--stages', '50,100', '--min-duration', '3600'];
    const { id } = await json('create', 'Day', ...firmware, ...stages, '--start');
    const later = await eventually('the second stage to have its device', async () => {
      const { items } = (await sky.api('GET', `/campaigns/${id}/devices`)).body as {
        items: { stage: number; serial_no: string }[];
      };
      return items.find(({ stage }) => stage === 1)?.serial_no;
    });
    expect(await json('skip', id, later)).toMatchObject({ serial_no: later, status: 'skipped' });
    expect(await json('advance', id)).toMatchObject({ status: 'active' });
    const none = await cli(['campaign', 'retry', id, '--error', 'no_space']);
    expect([none.code, none.err]).toEqual([1, expect.stringContaining('no device has failed like that')]);
    for (const wrong of [['--window', 'always'], ['--ramp', 'fast'], ['--end-at', 'never'], []]) {
      expect((await cli(['campaign', 'edit', id, ...wrong])).code).toBe(2);
    }
    expect((await cli(['campaign', 'create', 'x', ...firmware, '--serials-file', 'no.csv'])).code).toBe(2);
    // What only the server can tell is wrong usage as well.
    expect((await cli(['campaign', 'create', 'x', ...firmware, '--stages', '10,50'])).code).toBe(2);
    writeFileSync(file('table.csv'), 'name,qty\nVD-0001,1\nVD-0002,1\n');
    const table = await cli(['campaign', 'preview', ...firmware, '--serials-file', 'table.csv']);
    expect([table.code, table.err]).toEqual([2, expect.stringContaining('without a column "serial_no"')]);
  });

  it('the GitHub Action uploads, publishes and starts a campaign, and does no harm when run again', async () => {
    const inputs = {
      INPUT_URL: sky.facts.url,
      'INPUT_API-KEY': sky.facts.api_key,
      'INPUT_RELEASE-KEY': readFileSync(sky.facts.release_key, 'utf8'),
      INPUT_FILE: 'fw.bin',
      INPUT_VERSION: 'v7.0.0',
      INPUT_MODEL: 'TX-100',
      INPUT_CAMPAIGN: 'From CI',
      INPUT_START: 'false',
      GITHUB_OUTPUT: file('outputs'),
    };
    expect(await run(ACTION, [], inputs)).toMatchObject({ code: 0 });
    expect(await run(ACTION, [], inputs)).toMatchObject({ code: 0 });
    const outputs = readFileSync(file('outputs'), 'utf8').trim().split('\n');
    expect(outputs.filter((line) => line === 'state=published')).toHaveLength(2);
    const ids = outputs.filter((line) => line.startsWith('campaign-id=')).map((line) => line.split('=')[1]);
    const [id] = ids;
    expect(ids).toEqual([id, id]);
    expect((await sky.api('GET', `/campaigns/${id}`)).body).toMatchObject({
      name: 'From CI',
      status: 'draft',
      // Nobody said which: as the settings have them, after one device, for none runs this firmware yet.
      stages: [{ name: 'one device' }, {}, {}, {}],
    });
    for (const [name, value, words] of [
      ['FILE', 'no-such-file', /no file/],
      ['STAGES', 'some', /--stages: "some" is no stage/],
      ['START', 'maybe', /true or false/],
    ] as const) {
      const wrong = await run(ACTION, [], { ...inputs, INPUT_VERSION: 'v9.9.9', [`INPUT_${name}`]: value });
      expect([wrong.code, wrong.out]).toEqual([1, expect.stringMatching(words)]);
    }
    expect((await sky.api('GET', '/firmware?version=v9.9.9')).body.items).toEqual([]);
    const bad = await run(ACTION, [], { ...inputs, 'INPUT_API-KEY': 'wrong' });
    expect([bad.code, bad.out]).toEqual([1, expect.stringMatching(/^::error::/)]);
  });

  it('skylark: refuses a key that may not sign for the model', async () => {
    await cli(['keys', 'generate', '--out', 'own.pem']);
    const refused = await cli(['firmware', 'upload', 'fw.bin', '--version', 'v1.0.2', '--model', 'TX-100'], {
      SKYLARK_RELEASE_KEY: file('own.pem'),
    });
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('not signed by this key')]);
  });

  it('skylark-device: takes an update over a restart, and settings', async () => {
    await sky.api('POST', '/devices/register', { serial_no: 'REAL-1', model: 'TX-100' });
    const { body } = await sky.api('POST', '/devices/REAL-1/enrolment-tokens');
    const identity = {
      cert_file: file('device.pem'),
      key_file: file('device.key.pem'),
      ca_file: sky.facts.mqtt.ca_file,
    };
    await enrol({
      ...identity,
      server_url: sky.facts.https_url,
      serial_no: 'REAL-1',
      token: String(body.token),
    });
    writeFileSync(
      file('device.json'),
      JSON.stringify({
        serial_no: 'REAL-1',
        mqtt_broker: sky.facts.mqtt.url,
        ...identity,
        model: 'TX-100',
        version: 'v1.0.0',
        heartbeat_interval_s: 1,
        web: { port: 0 },
      }),
    );
    const start = () =>
      spawn(process.execPath, [DEVICE, '--config', file('device.json')], {
        env: { PATH: process.env.PATH, SKYLARK_REBOOT: 'true' },
        stdio: 'ignore',
      });
    const running = start();
    await eventually(
      'the device to be online',
      async () => (await sky.api('GET', '/devices/REAL-1')).body.status === 'online',
    );

    await sky.api('PUT', '/devices/REAL-1/config', { config: { volume: '7' } });
    await eventually('the setting to be confirmed', async () => {
      const { items } = (await sky.api('GET', '/devices/REAL-1/config')).body as {
        items: { key: string; value: string; state: string }[];
      };
      return items.some(
        (entry) => entry.key === 'volume' && entry.value === '7' && entry.state === 'confirmed',
      );
    });

    const firmware = await publishFirmware(sky, 'v2.0.0');
    const campaign = await sky.api('POST', '/campaigns', {
      name: 'real',
      firmware_id: firmware.id,
      stages: [{ name: 'all', percentage: 100 }],
    });
    await sky.api('POST', `/campaigns/${campaign.body.id}/start`);
    // Told to restart, the agent ends: here the test is its bootloader.
    expect((await once(running, 'exit'))[0]).toBe(0);
    const again = start();
    await eventually(
      'the campaign to be over',
      async () => (await sky.api('GET', `/campaigns/${campaign.body.id}`)).body.status === 'completed',
    );
    expect((await sky.api('GET', '/devices/REAL-1')).body.current_firmware).toBe('v2.0.0');
    again.kill('SIGTERM');
    expect((await once(again, 'exit'))[0]).toBe(0);
  });

  it('skylark-device: says in one line what is wrong with its configuration', async () => {
    writeFileSync(file('bad.json'), '{"serial_no":"a/b"}');
    const bad = await run(DEVICE, ['--config', file('bad.json')]);
    expect([bad.code, bad.err.trim().split('\n')]).toEqual([
      1,
      [expect.stringMatching(/serial_no.*mqtt_broker/)],
    ]);
    expect((await run(DEVICE, [])).code).toBe(2);
  });
});
