import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { MqttClient } from 'mqtt';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Bridge, startBridge } from './bridge.ts';
import { readConfiguration } from './configuration.ts';
import { TestBroker } from './test-broker.ts';
import { TestEdge } from './test-edge.ts';

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const payload = (n: number) => `{"n":${n}}`;

describe('the bridge', () => {
  let broker: TestBroker;
  let device: MqttClient;
  let edge = new TestEdge();
  let bridge: Bridge | undefined;
  let child: ChildProcess | undefined;
  let edgeUrl = '';

  beforeEach(async () => {
    edge = new TestEdge();
    edgeUrl = await edge.listen();
    broker = await TestBroker.start();
    broker.on('change', () => edge.wake());
    device = await broker.client();
    [bridge, child] = [undefined, undefined];
  });
  afterEach(async () => {
    edge.answer = () => 200;
    child?.kill('SIGKILL');
    await bridge?.close();
    edge.close();
    await broker.close();
  });

  const environment = (more: NodeJS.ProcessEnv = {}) => ({
    MQTT_URL: broker.url,
    EDGE_URL: edgeUrl,
    BRIDGE_TOKEN: 'a-token-of-16-chars',
    BRIDGE_ID: 'b1',
    HEALTH_PORT: '0',
    ...more,
  });
  const start = async (more?: NodeJS.ProcessEnv) => {
    const started = await startBridge(readConfiguration(environment(more)));
    bridge = started;
    await started.ready;
    return started;
  };
  const startProcess = () => {
    const started = fork(new URL('./main.ts', import.meta.url), { env: environment(), silent: true });
    child = started;
    return started;
  };
  const publish = (n: number, serial = `D${n}`, channel = 'status') =>
    device.publishAsync(`devices/${serial}/${channel}`, payload(n), { qos: 1 });
  const acknowledged = () => broker.acknowledged.get('b1') ?? 0;
  const metrics = async (port: number) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  /** Holds the edge's answers back until it is called. */
  const holdAnswers = () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    edge.answer = () => promise;
    return () => {
      edge.answer = () => 200;
      resolve(200);
    };
  };

  it('is known to the edge for as long as it is there, with how it is doing', async () => {
    await start();
    await edge.until('the lease', () => edge.leases.get('b1')?.mqtt === '3.1.1');
    await bridge?.close();
    bridge = undefined;
    expect(edge.leases.has('b1')).toBe(false);
  });

  it('acknowledges to the broker only what the edge has made durable', async () => {
    const release = holdAnswers();
    await start();
    await publish(1);
    await edge.until('the batch', () => edge.attempts.length === 1);
    expect(acknowledged()).toBe(0);
    release();
    await edge.until('the acknowledgement', () => acknowledged() === 1);
  });

  it('tries again while the edge is down, and loses nothing', async () => {
    let refusals = 3;
    edge.answer = () => (refusals-- > 0 ? 503 : 200);
    await start();
    await Promise.all(numbers(1, 50).map((n) => publish(n)));
    await edge.until('50 acknowledgements', () => acknowledged() === 50);
    expect(edge.payloads.toSorted()).toEqual(numbers(1, 50).map(payload).toSorted());
  });

  it('goes on by itself after the edge was gone altogether', async () => {
    const { healthPort } = await start();
    edge.close();
    await Promise.all(numbers(1, 20).map((n) => publish(n)));
    expect(acknowledged()).toBe(0);
    await edge.listen();
    await edge.until(
      '20 acknowledgements and the link',
      () => acknowledged() === 20 && edge.links.length === 1,
    );
    expect(await metrics(healthPort)).toMatch(/^skylark_bridge_window 0$/m);
  });

  it('loses nothing when it is killed before the edge has answered', async () => {
    edge.answer = () => new Promise(() => undefined);
    const victim = startProcess();
    await once(victim, 'message');
    await Promise.all(numbers(1, 20).map((n) => publish(n)));
    await edge.until('a batch', () => edge.attempts.length > 0);
    victim.kill('SIGKILL');
    await once(victim, 'exit');
    expect(acknowledged()).toBe(0);
    edge.answer = () => 200;
    await start();
    await edge.until('all of it', () => new Set(edge.payloads).size === 20 && acknowledged() === 20);
  });

  it('acknowledges nothing of a lost connection on the next one', async () => {
    const release = holdAnswers();
    await start();
    await Promise.all([1, 2, 3].map((n) => publish(n, 'D1')));
    await edge.until('a batch', () => edge.attempts.length === 1);
    broker.cut();
    device = await broker.client();
    await edge.until('the link to come back', () => edge.links.length === 1 && broker.sockets.size === 2);
    release();
    // They come again under the same packet ids, wait for their own turn, and are acknowledged once.
    await edge.until('acknowledgements', () => acknowledged() === 3);
    expect(new Set(edge.payloads)).toEqual(new Set([1, 2, 3].map(payload)));
    await publish(4, 'D1');
    await edge.until('the next message', () => acknowledged() === 4 && edge.payloads.includes(payload(4)));
  });

  it('stops reading when its window is full, and takes the rest when the edge is back', async () => {
    const release = holdAnswers();
    const { healthPort } = await start({ WINDOW: '8' });
    const long = Buffer.alloc(60_000, 'x');
    const published = numbers(1, 400).map((n) =>
      device.publishAsync(`devices/D${n}/status`, long, { qos: 1 }).then(() => edge.wake()),
    );
    const stalled = () => [...broker.sockets].some((socket) => socket.writableLength > 1_000_000);
    // Nothing tells of it: what happens is that nothing happens any more.
    await vi.waitFor(() => expect(stalled()).toBe(true), 15_000);
    const held = Number(/^skylark_bridge_window (\d+)$/m.exec(await metrics(healthPort))?.[1]);
    expect(held).toBeGreaterThan(8);
    expect(held).toBeLessThan(16);
    release();
    await Promise.all(published);
    await edge.until('400 acknowledgements', () => acknowledged() === 400);
  });

  it('passes on what is malformed, hostile or QoS 0, and none of it blocks what comes behind', async () => {
    const { healthPort } = await start();
    const hostile: [string, Buffer | string][] = [
      ['devices/D1/heartbeat', Buffer.from([0xff, 0xfe, 0x00, 0xc3])],
      ['devices/D1/heartbeat', ''],
      ['devices/D1/notify', Buffer.alloc(300_000, 'é')],
      ['devices/no serial number/heartbeat', '{}'],
      [`devices/${'x'.repeat(20_000)}/status`, '['.repeat(50_000)],
      ['devices/D1/status', '{"__proto__":{"x":1}}'],
    ];
    for (const [topic, bytes] of hostile) await device.publishAsync(topic, bytes, { qos: 1 });
    await device.publishAsync('devices/D1/status', '"qos 0"', { qos: 0 });
    await publish(1, 'D1');
    await edge.until('everything', () => edge.payloads.length === 8 && acknowledged() === 7);
    expect(edge.payloads).toContain('"qos 0"');
    expect(await metrics(healthPort)).toContain('skylark_bridge_received_total{channel="other"} 2');
  });

  it('does not take what the broker has retained for a sign of life, nor for a last will of now', async () => {
    const said = { serial_no: 'D1', model: 'TX-100', current_firmware: 'v1.0.0', timestamp: 1_700_000_000 };
    const retained: [string, string][] = [
      ['devices/D1/heartbeat', JSON.stringify(said)],
      ['devices/D2/status', '{"status":"offline"}'],
      ['devices/D1/notify', payload(1)],
    ];
    for (const [topic, text] of retained) await device.publishAsync(topic, text, { qos: 1, retain: true });
    await start();
    await edge.until('acknowledgements', () => acknowledged() === 3);
    expect(edge.payloads).toEqual([payload(1)]);
  });

  it('finds the one message the edge refuses for ever, and lets it block nothing else', async () => {
    edge.answer = (batch) => (batch.payload.includes(payload(3)) ? 400 : 200);
    const { healthPort } = await start();
    await Promise.all(numbers(1, 5).map((n) => publish(n, 'D1')));
    await edge.until('five acknowledgements', () => acknowledged() === 5);
    expect(edge.payloads).toEqual([1, 2, 4, 5].map(payload));
    const text = await metrics(healthPort);
    expect(text).toContain('skylark_bridge_refused_total 1');
    expect(text).toContain('skylark_bridge_dropped_total 0');
  });

  it('brings commands to devices in order, and confirms them when the broker has them', async () => {
    const heard: string[] = [];
    await device.subscribeAsync('devices/D1/command', { qos: 1 });
    device.on('message', (_topic, bytes) => {
      heard.push(bytes.toString());
      edge.wake();
    });
    await start();
    const messages = numbers(1, 300).map((n) => ({
      id: `c${n}`,
      topic: 'devices/D1/command',
      payload: payload(n),
    }));
    for (let n = 0; n < 300; n += 100) edge.send({ type: 'publish', messages: messages.slice(n, n + 100) });
    await edge.until('300 commands', () => heard.length === 300 && edge.confirmed.length === 300);
    expect(heard).toEqual(messages.map((m) => m.payload));
    expect(edge.confirmed).toEqual(messages.map((m) => m.id));
  });

  it('leaves commands with the edge while the broker is away, and says so to a monitor', async () => {
    const { healthPort } = await start();
    const health = async () => {
      const response = await fetch(`http://127.0.0.1:${healthPort}/health`);
      return [response.status, await response.json()];
    };
    expect(await health()).toEqual([200, { status: 'ok' }]);
    const back = broker.away();
    await edge.until('the end of the link', () => edge.links.length === 0);
    expect(await health()).toEqual([503, { status: 'down', down: ['mqtt', 'link'] }]);
    await back();
    await edge.until('the link', () => edge.links.length === 1);
  });

  it('delivers what it holds before it ends on SIGTERM', async () => {
    const release = holdAnswers();
    const ending = startProcess();
    await once(ending, 'message');
    await Promise.all(numbers(1, 20).map((n) => publish(n, 'D1')));
    await edge.until('a batch', () => edge.attempts.length > 0);
    const ended = once(ending, 'exit');
    ending.kill('SIGTERM');
    await edge.until('the end of the link', () => edge.links.length === 0);
    release();
    expect(await ended).toEqual([0, null]);
    await edge.until('acknowledgements', () => acknowledged() === edge.payloads.length);
    expect(edge.payloads.length).toBeGreaterThan(0);
  });

  it('ends on SIGTERM also while it waits for the other side', async () => {
    edge.close();
    const waiting = startProcess();
    await edge.until('the bridge at the broker', () => broker.sockets.size === 2);
    const ended = once(waiting, 'exit');
    waiting.kill('SIGTERM');
    expect((await ended)[1] ?? (await ended)[0]).toBe(0);
  });

  it('ends with its parent', async () => {
    const orphan = startProcess();
    await once(orphan, 'message');
    const ended = once(orphan, 'exit');
    orphan.disconnect();
    expect(await ended).toEqual([0, null]);
  });

  it('says what it needs when it is not told', async () => {
    expect(() => readConfiguration({})).toThrow(/MQTT_URL.*EDGE_URL.*BRIDGE_TOKEN/);
    expect(() => readConfiguration(environment({ MQTT_VERSION: '3' }))).toThrow(/MQTT_VERSION/);
    const missing = readConfiguration(environment({ MQTT_CA_FILE: '/nonexistent/ca.pem' }));
    await expect(startBridge(missing)).rejects.toThrow(/MQTT_CA_FILE.*no such file/);
  });
});
