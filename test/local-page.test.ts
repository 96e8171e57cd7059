import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkConfiguration } from '../device/configuration.ts';
import { enrol } from '../device/enrol.ts';
import { Server } from '../device/server.ts';
import { VirtualDevice } from '../device/virtual-device.ts';
import { freePort } from '../local/ports.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

type Member = { serial_no: string; status: string; detail: string | null };

/** Whoever stands beside a device, and the devices behind one router. */
describe('a device with its own page', () => {
  let sky: Skylark;
  let directory: string;
  let device: VirtualDevice | undefined;
  beforeAll(async () => {
    sky = await startSkylark();
    directory = mkdtempSync(join(tmpdir(), 'skylark-page-'));
  });
  afterEach(async () => {
    await device?.stop();
    device = undefined;
  });
  afterAll(async () => {
    await sky.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function configure(serial_no: string, model: string, more: object = {}) {
    await sky.api('POST', '/devices/register', { serial_no, model });
    const { body } = await sky.api('POST', `/devices/${serial_no}/enrolment-tokens`);
    const identity = {
      cert_file: join(directory, `${serial_no}.pem`),
      key_file: join(directory, `${serial_no}.key.pem`),
      ca_file: sky.facts.mqtt.ca_file,
    };
    await enrol({ serial_no, token: String(body.token), server_url: sky.facts.url, ...identity });
    return checkConfiguration(
      {
        serial_no,
        model,
        mqtt_broker: sky.facts.mqtt.url,
        server_url: sky.facts.url,
        version: 'v1.0.0',
        heartbeat_interval_s: 1,
        state_dir: `${serial_no}-state`,
        ...identity,
        ...more,
      },
      directory,
    );
  }
  /** Switches a device on; answers its page. */
  async function switchOn(serial_no: string, model: string, more: object = {}) {
    const port = await freePort();
    const config = await configure(serial_no, model, { web: { port }, ...more });
    device = new VirtualDevice(config, {}, () => undefined);
    await device.start();
    const url = `http://127.0.0.1:${port}/`;
    const look = async () => (await fetch(url)).text();
    const press = async (answer: string) => {
      const token = /name="token" value="(\w+)"/.exec(await look())?.[1] ?? '';
      const pressed = await fetch(url, { method: 'POST', body: new URLSearchParams({ token, answer }) });
      expect([pressed.status, await pressed.text()]).toEqual([200, expect.any(String)]);
    };
    const shows = (words: string) =>
      eventually(`the page to say "${words}"`, async () => (await look()).includes(words));
    return { look, press, shows };
  }
  async function start(model: string, version: string, more: object = {}): Promise<string> {
    const firmware = await publishFirmware(sky, version, { model });
    return startWith(firmware.id, more);
  }
  async function startWith(firmware_id: string, more: object): Promise<string> {
    const stages = [{ name: 'all', percentage: 100 }];
    const { body } = await sky.api('POST', '/campaigns', { name: 'page', firmware_id, stages, ...more });
    const started = await sky.api('POST', `/campaigns/${body.id}/start`);
    expect(started.status, JSON.stringify(started.body)).toBe(200);
    return String(body.id);
  }
  const members = async (id: string) =>
    (await sky.api('GET', `/campaigns/${id}/devices`)).body.items as Member[];
  const become = (id: string, status: string) =>
    eventually(
      `the campaign to be ${status}`,
      async () => (await sky.api('GET', `/campaigns/${id}`)).body.status === status,
    );

  it('asks before a soft update, postpones it, and installs it when told', async () => {
    const { press, shows } = await switchOn('PAGE-1', 'PAGE-SOFT', { ask_s: 60, postpone_s: 3600 });
    const id = await start('PAGE-SOFT', 'v2.0.0', { kind: 'soft' });
    await shows('v2.0.0 is ready');
    await press('later');
    await shows('v2.0.0 is postponed until');
    await eventually('the campaign to know', async () =>
      (await members(id)).find(({ detail }) => detail === "the device's user postponed it"),
    );
    // Not while the campaign is paused, whatever is said on the device.
    await sky.api('POST', `/campaigns/${id}/pause`);
    await press('now');
    await shows('v2.0.0 is installed as soon as Skylark allows it');
    await sky.api('POST', `/campaigns/${id}/resume`);
    await become(id, 'completed');
    expect((await sky.api('GET', '/devices/PAGE-1')).body.current_firmware).toBe('v2.0.0');
  });

  it('goes on by itself when nobody answers', async () => {
    await switchOn('PAGE-2', 'PAGE-SILENT', { ask_s: 1 });
    await become(await start('PAGE-SILENT', 'v2.0.0', { kind: 'soft' }), 'completed');
  });

  it('keeps what is only to be downloaded until it is to be installed', async () => {
    const { look, press, shows } = await switchOn('PAGE-3', 'PAGE-DOWN');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: 'PAGE-DOWN' });
    await become(await startWith(firmware.id, { kind: 'download_only' }), 'completed');
    await shows('v2.0.0 is downloaded and waits to be installed');
    expect(await look()).toContain('<dd>v1.0.0</dd>');
    // The same once more is no second download; and at its own time it installs what is there.
    await become(await startWith(firmware.id, { kind: 'download_only' }), 'completed');
    await press('now');
    await eventually(
      'the device to run it',
      async () => (await sky.api('GET', '/devices/PAGE-3')).body.current_firmware === 'v2.0.0',
    );
    expect(await look()).not.toContain('waits to be installed');
  });

  it('shares the limit behind one gateway with whoever comes from the same public address', async () => {
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: 'PAGE-UP' });
    for (const [serial, address] of [
      ['UP-1', '203.0.113.7'],
      ['UP-2', '203.0.113.7'],
      ['UP-3', '203.0.113.8'],
    ] as const) {
      const server = new Server(await configure(serial, 'PAGE-UP'));
      const { fetch } = server;
      server.fetch = (url, init = {}) =>
        fetch.call(server, url, {
          ...init,
          headers: Object.assign({}, init.headers, { 'CF-Connecting-IP': address }),
        });
      expect(await server.check(sky.facts.url, 'v1.0.0')).toBeUndefined();
      await server.close();
    }
    const id = await startWith(firmware.id, { max_per_gateway: 1 });
    const waits = await eventually('one to wait', async () =>
      (await members(id)).find(({ detail }) => detail === 'waits for others behind 203.0.113.7'),
    );
    const offered = (await members(id)).filter(({ status }) => status === 'offered');
    expect([waits, ...offered].map(({ serial_no }) => serial_no).sort()).toEqual(['UP-1', 'UP-2', 'UP-3']);
  });
});
