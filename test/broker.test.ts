import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Authority, openAuthority } from '../local/authority.ts';
import { startBroker } from '../local/broker.ts';
import { openSigner } from './faults/certificates.ts';

describe('the embedded broker', () => {
  let directory: string;
  let authority: Authority;
  let broker: Awaited<ReturnType<typeof startBroker>>;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-broker-'));
    authority = await openAuthority(directory);
    broker = await startBroker({ port: 0, ca: authority.ca.cert, ...authority.server });
  });
  afterEach(async () => {
    await broker.close();
    rmSync(directory, { recursive: true });
  });

  const connect = (clientId: string, identity: { cert: string; key: string }) =>
    connectAsync(`mqtts://127.0.0.1:${broker.port}`, {
      clientId,
      ca: authority.ca.cert,
      cert: identity.cert,
      key: identity.key,
      protocolVersion: 4,
      clean: false,
      reconnectPeriod: 0,
    });

  it('gives a bridge what came while it was away as what is new, and retains nothing', async () => {
    const subscription = { 'devices/+/status': { qos: 1 as const } };
    const bridge = await connect('bridge', authority.bridge);
    await bridge.subscribeAsync(subscription);
    await bridge.endAsync();
    const device = await connect('D1', await (await openSigner(authority.ca.certFile))('D1'));
    await device.publishAsync('devices/D1/status', '1', { qos: 2, retain: true });
    const heard: [string, boolean, number][] = [];
    const back = await connect('bridge', authority.bridge);
    const both = new Promise<void>((resolve) =>
      back.on('message', (_topic, payload, { retain, qos }) => {
        heard.push([payload.toString(), retain, qos]);
        if (heard.length === 2) resolve();
      }),
    );
    await back.subscribeAsync(subscription);
    await device.publishAsync('devices/D1/status', '2', { qos: 1 });
    await both;
    expect(heard).toEqual([
      ['1', false, 1],
      ['2', false, 1],
    ]);
    await Promise.all([device.endAsync(), back.endAsync()]);
  });

  it('gives a bridge every message at once, whatever their QoS', async () => {
    const bridge = await connect('bridge', authority.bridge);
    await bridge.subscribeAsync('devices/+/status', { qos: 1 });
    const device = await connect('D1', await (await openSigner(authority.ca.certFile))('D1'));
    const said = Array.from({ length: 40 }, (_, n) => `${n}`);
    const heard: string[] = [];
    const all = new Promise<void>((resolve) =>
      bridge.on('message', (_topic, payload) => {
        heard.push(payload.toString());
        if (heard.length === 3 * said.length) resolve();
      }),
    );
    for (const n of said)
      for (const qos of [1, 2, 0] as const) await device.publishAsync('devices/D1/status', n, { qos });
    await all;
    expect(heard.sort()).toEqual(said.flatMap((n) => [n, n, n]).sort());
    await Promise.all([device.endAsync(), bridge.endAsync()]);
  });
});
