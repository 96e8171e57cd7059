import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server as HttpServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { initRepository, openSigningKey } from '../cli/tuf-keys.ts';
import type { OtaUpdate } from '../protocol/messages.ts';
import { canonicalBytes, envelope, SPEC_VERSION, type TargetCustom } from '../protocol/tuf.ts';
import { Apps } from './apps.ts';
import { checkConfiguration } from './configuration.ts';
import { Kept } from './kept.ts';
import { Server } from './server.ts';
import { Slots } from './slots.ts';
import { Updater } from './updater.ts';

const image = randomBytes(300_000);
const expires = '2099-01-01T00:00:00Z';
const campaign_id = '00000000-0000-4000-8000-000000000000';

/** A power cut: thrown in the middle of whatever the device does. */
class PowerLoss extends Error {}

describe('an update on a device', () => {
  let web: HttpServer;
  let base: string;
  let shared: string;
  let directory: string;
  const files = new Map<string, Uint8Array>();

  /** Releases the image as `TX-100/v2.bin`. */
  async function release(custom: Partial<TargetCustom> = {}): Promise<void> {
    const key = async (name: string) => openSigningKey(readFileSync(join(shared, `${name}.pem`), 'utf8'));
    const [releaseKey, online] = [await key('release'), await key('online')];
    const sealed = (by: typeof online, metadata: object) => {
      const bytes = canonicalBytes(metadata);
      return envelope(bytes, [by.sign(bytes)]);
    };
    const common = { spec_version: SPEC_VERSION, version: 1, expires };
    const full: TargetCustom = {
      version: 'v2',
      kind: 'firmware',
      hw: ['TX-100'],
      releaseCounter: 5,
      rollbackFloor: 3,
      minVersion: null,
      advisory: null,
      ...custom,
    };
    const hashes = { sha256: createHash('sha256').update(image).digest('hex') };
    files.set(
      '/tuf/1.release.json',
      sealed(releaseKey, {
        _type: 'targets',
        ...common,
        targets: { 'TX-100/v2.bin': { length: image.length, hashes, custom: full } },
      }),
    );
    files.set(
      '/tuf/1.snapshot.json',
      sealed(online, {
        _type: 'snapshot',
        ...common,
        meta: { 'targets.json': { version: 1 }, 'release.json': { version: 1 } },
      }),
    );
    files.set(
      '/tuf/timestamp.json',
      sealed(online, { _type: 'timestamp', ...common, meta: { 'snapshot.json': { version: 1 } } }),
    );
  }

  beforeAll(async () => {
    shared = mkdtempSync(join(tmpdir(), 'skylark-updater-'));
    const made = await initRepository(shared);
    files
      .set('/tuf/1.root.json', readFileSync(made.rootFile))
      .set('/tuf/1.targets.json', readFileSync(made.targetsFile));
    web = createServer((request, response) => {
      const file = files.get(request.url ?? '');
      if (file === undefined) return void response.writeHead(404).end();
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200).end(file.subarray(from));
    }).listen(0, '127.0.0.1');
    await once(web, 'listening');
    const address = web.address();
    base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    writeFileSync(join(shared, 'ca.pem'), '');
  });
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-device-'));
    files.set('/image', image);
    await release();
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  afterAll(() => {
    web.close();
    web.closeAllConnections();
    rmSync(shared, { recursive: true, force: true });
  });

  const command = (): OtaUpdate => ({
    command: 'ota_update',
    command_id: 'c',
    campaign_id,
    version: 'v2',
    url: `${base}/image`,
    size_bytes: image.length,
    checksum: `sha256:${createHash('sha256').update(image).digest('hex')}`,
    target: 'TX-100/v2.bin',
    metadata_url: `${base}/tuf/`,
  });

  /** One life: from a boot to the next restart, power cut, or rest. Cut at the given event, counted over lives. */
  async function live(world: {
    cutAt: number;
    events: number;
    reports: string[];
    boots: boolean;
    first: boolean;
    offer: Partial<OtaUpdate>;
  }): Promise<'rests' | 'restarts'> {
    const ending = new AbortController();
    let restarts = false;
    const config = checkConfiguration(
      {
        serial_no: 'D1',
        mqtt_broker: 'mqtts://x.example',
        model: 'TX-100',
        version: 'v1',
        cert_file: 'c',
        key_file: 'k',
        ca_file: join(shared, 'ca.pem'),
        tuf_root_file: join(shared, '1.root.json'),
      },
      directory,
    );
    const slots = new Slots(config.state_dir, 'v1');
    const running = slots.boot();
    expect(['v1', 'v1.5', 'v2']).toContain(slots.version(running));
    const server = new Server(config);
    const updater = new Updater({
      config,
      server,
      slots,
      running,
      signal: ending.signal,
      report: (report) =>
        world.reports.push(report.error === undefined ? report.status : `${report.status}:${report.error}`),
      event: () => {
        world.events += 1;
        if (world.events !== world.cutAt) return;
        ending.abort(new PowerLoss());
        throw new PowerLoss();
      },
      bootCheck: async () => world.boots,
      reboot: () => {
        restarts = true;
      },
      disturb: () => undefined,
    });
    try {
      const resumed = await updater.resume();
      if (world.first) updater.offer({ ...command(), ...world.offer });
      world.first = false;
      await updater.idle();
      return resumed === 'restarting' || restarts || ending.signal.aborted ? 'restarts' : 'rests';
    } catch (error) {
      if (!(error instanceof PowerLoss)) throw error;
      return 'restarts';
    } finally {
      await server.close();
    }
  }

  async function run(world: { cutAt?: number; boots?: boolean; offer?: Partial<OtaUpdate> } = {}) {
    const reports: string[] = [];
    const all = { cutAt: 0, events: 0, reports, boots: true, first: true, offer: {}, ...world };
    for (let lives = 0; (await live(all)) === 'restarts'; lives += 1) expect(lives).toBeLessThan(8);
    const slots = new Slots(join(directory, 'state'), 'v1');
    return { ...all, version: slots.version(slots.boot()) };
  }

  it('ends in the new version, checked twice and committed', async () => {
    const { version, reports } = await run();
    expect(version).toBe('v2');
    expect(reports.filter((r) => r !== 'downloading')).toEqual(['installing', 'rebooting', 'completed']);
  });

  it('installs an app beside the firmware, without a restart, and once', async () => {
    await release({ kind: 'app', name: 'maps' });
    const { version, reports } = await run();
    expect([version, reports.filter((r) => r !== 'downloading')]).toEqual([
      'v1',
      ['installing', 'completed'],
    ]);
    const apps = new Apps(join(directory, 'state'));
    expect(apps.versions).toEqual({ maps: 'v2' });
    expect(readFileSync(apps.imageFile('maps'))).toEqual(image);
  });

  it('goes back by itself when the new version does not pass its boot check', async () => {
    const { version, reports } = await run({ boots: false });
    expect([version, reports.at(-1)]).toEqual(['v1', 'rollback:boot_failure']);
  });

  it('keeps what is only to be downloaded, through a power cut at any step, and later downloads it no more', async () => {
    const offer = { kind: 'download_only' as const };
    const whole = await run({ offer });
    for (let cutAt = 0; cutAt <= whole.events; cutAt += 1) {
      rmSync(directory, { recursive: true, force: true });
      directory = mkdtempSync(join(tmpdir(), 'skylark-device-'));
      const { version, reports } = await run({ cutAt, offer });
      expect([cutAt, version, reports.at(-1)]).toEqual([cutAt, 'v1', 'completed']);
      expect(new Kept(join(directory, 'state')).update?.version).toBe('v2');
    }
    files.delete('/image');
    expect((await run()).version).toBe('v2');
  });

  it.each([true, false])('survives a power cut at every step (new version works: %s)', async (boots) => {
    const whole = await run({ boots });
    for (let cutAt = 1; cutAt <= whole.events; cutAt += 1) {
      rmSync(directory, { recursive: true, force: true });
      directory = mkdtempSync(join(tmpdir(), 'skylark-device-'));
      const { version, reports } = await run({ boots, cutAt });
      expect([cutAt, version, reports.at(-1)]).toEqual([
        cutAt,
        boots ? 'v2' : 'v1',
        boots ? 'completed' : 'rollback:boot_failure',
      ]);
    }
  });

  it.each([
    [
      'a byte was changed',
      () => files.set('/image', Buffer.concat([Buffer.from([(image[0] ?? 0) ^ 1]), image.subarray(1)])),
      'checksum_mismatch',
    ],
    [
      'there is more than announced',
      () => files.set('/image', Buffer.concat([image, Buffer.alloc(1)])),
      'size_mismatch',
    ],
    ['it was released as another version', () => release({ version: 'v3' }), 'signature_invalid'],
    ['it is for other hardware', () => release({ hw: ['TX-999'] }), 'wrong_hardware'],
    [
      'the metadata is not signed by the release key',
      () =>
        files.set(
          '/tuf/1.release.json',
          Buffer.from(
            Buffer.from(files.get('/tuf/1.release.json') ?? '')
              .toString()
              .replace('"releaseCounter":5', '"releaseCounter":6'),
          ),
        ),
      'signature_invalid',
    ],
    ['nothing is released under that name', () => files.delete('/tuf/1.release.json'), 'signature_invalid'],
  ])('is refused when %s', async (_what, spoil, error) => {
    await spoil();
    const { version, reports } = await run();
    expect([version, reports.at(-1)]).toEqual(['v1', `failed:${error}`]);
  });

  it('refuses what was released before the floor of the last one it took, even after it lost its metadata', async () => {
    await run();
    rmSync(join(directory, 'state', 'metadata'), { recursive: true, force: true });
    writeFileSync(join(directory, 'state', 'slots', 'b', 'version'), 'v1.5');
    await release({ releaseCounter: 2 });
    expect((await run()).reports.at(-1)).toBe('failed:downgrade_refused');
  });

  it('trusts again the root it was made with when its own metadata is damaged', async () => {
    await run();
    writeFileSync(join(directory, 'state', 'metadata', 'root.json'), '{"sig');
    writeFileSync(join(directory, 'state', 'slots', 'b', 'version'), 'v1.5');
    expect((await run()).version).toBe('v2');
  });
});
