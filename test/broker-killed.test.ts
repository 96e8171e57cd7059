import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Client } from 'aedes';
import { connectAsync, connect as connectMqtt } from 'mqtt';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Authority, openAuthority } from '../local/authority.ts';
import { Sessions } from '../local/broker-sessions.ts';
import { type Part, startNodePart } from '../local/part.ts';
import { moduleAt } from '../local/site.ts';
import { openSigner } from './faults/certificates.ts';
import { eventually } from './skylark.ts';

type Identity = { cert: string; key: string };

describe('the embedded broker, killed outright', () => {
  let directory: string;
  let authority: Authority;
  let device: Identity;
  let broker: Part & { ready: Record<string, unknown> };

  const start = () =>
    startNodePart('broker', directory, moduleAt('./broker-process.ts'), {
      CA_FILE: authority.ca.certFile,
      CERT_FILE: authority.server.certFile,
      KEY_FILE: authority.server.keyFile,
      SESSIONS_FILE: join(directory, 'broker.sqlite'),
    });
  const killed = async () => {
    await broker.stop('SIGKILL');
    broker = await start();
  };
  const rows = (table: string) => {
    const db = new DatabaseSync(join(directory, 'broker.sqlite'), { readOnly: true });
    const { n } = db.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number };
    db.close();
    return n;
  };
  const url = () => `mqtts://127.0.0.1:${broker.ready.port}`;
  const lasting = (clientId: string, identity: Identity) =>
    ({
      clientId,
      ca: authority.ca.cert,
      ...identity,
      protocolVersion: 4,
      clean: false,
      reconnectPeriod: 0,
    }) as const;
  async function connect(clientId: string, identity: Identity, topic?: string) {
    const client = await connectAsync(url(), lasting(clientId, identity));
    client.on('error', () => undefined);
    if (topic !== undefined) await client.subscribeAsync(topic, { qos: 1 });
    return client;
  }
  /** Connects again, and answers what has waited until the last of it. */
  async function waited(clientId: string, identity: Identity, last: string): Promise<string[]> {
    const heard: string[] = [];
    const done = Promise.withResolvers<void>();
    const client = connectMqtt(url(), lasting(clientId, identity));
    client.on('message', (_topic, payload) => {
      heard.push(payload.toString());
      if (heard.at(-1) === last) done.resolve();
    });
    await done.promise;
    await client.endAsync();
    return heard;
  }

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-broker-'));
    authority = await openAuthority(directory);
    device = await (await openSigner(authority.ca.certFile))('D1');
    broker = await start();
  });
  afterEach(async () => {
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  it('still has the commands it acknowledged, in their order, for a device that is away', async () => {
    const bridge = await connect('bridge', authority.bridge, 'devices/+/status');
    await (await connect('D1', device, 'devices/D1/command')).endAsync();
    await bridge.publishAsync('devices/D1/command', '1', { qos: 1 });
    await killed();
    const again = await connect('bridge', authority.bridge);
    await again.publishAsync('devices/D1/command', '2', { qos: 1 });
    await killed();
    expect(await waited('D1', device, '2')).toEqual(['1', '2']);
  });

  it('still has what a device said for a bridge that is away, and lets devices in before it is back', async () => {
    await (await connect('bridge', authority.bridge, 'devices/+/status')).endAsync();
    await (await connect('D1', device)).publishAsync('devices/D1/status', '1', { qos: 1 });
    await killed();
    await (await connect('D1', device)).publishAsync('devices/D1/status', '2', { qos: 1 });
    await killed();
    expect(await waited('bridge', authority.bridge, '2')).toEqual(['1', '2']);
  });

  it('keeps the session of a client apart from that of another who comes with its client ID', async () => {
    const evil = await (await openSigner(authority.ca.certFile))('EVIL');
    const bridge = await connect('bridge', authority.bridge, 'devices/+/status');
    await (await connect('D1', device, 'devices/D1/command')).endAsync();
    await bridge.publishAsync('devices/D1/command', '1', { qos: 1 });
    for (const name of ['D1', 'bridge']) {
      const intruder = await connectAsync(url(), { ...lasting(name, evil), clean: true });
      await intruder.endAsync();
      await (await connect(name, evil)).endAsync();
    }
    expect(bridge.connected).toBe(true);
    await bridge.publishAsync('devices/D1/command', '2', { qos: 1 });
    expect(await waited('D1', device, '2')).toEqual(['1', '2']);
  });

  it('keeps nothing for a filter it has refused, nor for a device whose sessions were ended', async () => {
    const bridge = await connect('bridge', authority.bridge, 'devices/+/status');
    const one = await connect('D1', device);
    const filters = ['devices/D1/command', 'devices/+/status', '#'];
    await expect(one.subscribeAsync(filters, { qos: 1 })).rejects.toThrow(/Subscribe error/);
    await one.publishAsync('devices/D1/status', '1', { qos: 1 });
    await one.endAsync();
    expect(rows('subscriptions')).toBe(2);
    await bridge.publishAsync('devices/D1/command', '1', { qos: 1 });
    expect(rows("waiting WHERE client_id LIKE 'device/%'")).toBe(1);
    await bridge.publishAsync('$skylark/disconnect/D1', '', { qos: 1 });
    await eventually('its session to end', async () => rows('subscriptions') === 1);
    await eventually(
      'nothing to wait for it',
      async () => rows("waiting WHERE client_id LIKE 'device/%'") === 0,
    );
    // Whoever gets its serial number after it begins with nothing.
    const next = await (await openSigner(authority.ca.certFile))('D1');
    await (await connect('D1', next, 'devices/D1/command')).endAsync();
    await bridge.publishAsync('devices/D1/command', '2', { qos: 1 });
    expect(await waited('D1', next, '2')).toEqual(['2']);
  });

  it('keeps nothing of what was heard while one session was taken over again and again', async () => {
    const bridge = await connect('bridge', authority.bridge, 'devices/+/status');
    const heard = new Set<string>();
    let sent = 0;
    for (let n = 0; n < 40; n += 1) {
      const one = await connect('D1', device, 'devices/D1/command');
      one.on('message', (_topic, payload) => heard.add(payload.toString()));
      for (let k = 0; k < 5; k += 1) bridge.publish('devices/D1/command', String(sent++), { qos: 1 });
    }
    await eventually('all of it to be heard', async () => heard.size === sent);
    await eventually('nothing to wait any more', async () => rows('waiting') === 0);
  });

  it('brings nothing again that was acknowledged to it', async () => {
    await (await connect('bridge', authority.bridge, 'devices/+/status')).endAsync();
    const one = await connect('D1', device);
    await one.publishAsync('devices/D1/status', '1', { qos: 1 });
    expect(await waited('bridge', authority.bridge, '1')).toEqual(['1']);
    await one.publishAsync('devices/D1/status', '2', { qos: 1 });
    await killed();
    expect(await waited('bridge', authority.bridge, '2')).toEqual(['2']);
  });
});

describe('sessions of the embedded broker', () => {
  it('have a message that was on its way to them when the broker died; their file is for its owner only', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'skylark-sessions-'));
    const file = join(directory, 'broker.sqlite');
    const client = { id: 'D1' } as Client;
    const packet = {
      cmd: 'publish' as const,
      topic: 'devices/D1/command',
      payload: Buffer.from('1'),
      qos: 1 as const,
      retain: false,
      dup: false,
    };
    const before = new Sessions(file, () => true);
    await before.addSubscriptions(client, [{ topic: packet.topic, qos: 1 }]);
    await before.accept(packet);
    await before.destroy();
    const after = new Sessions(file, () => true);
    await after.setup({});
    const waiting = await after.outgoingStream(client).toArray();
    expect(waiting.map(({ payload }: typeof packet) => String(payload))).toEqual(['1']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await after.destroy();
    rmSync(directory, { recursive: true });
  });
});
