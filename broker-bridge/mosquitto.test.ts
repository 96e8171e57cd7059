import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestEdge } from './test-edge.ts';

const PROGRAM = ['mosquitto', '/usr/sbin/mosquitto', '/opt/homebrew/sbin/mosquitto'].find(
  (path) => spawnSync(path, ['-h'], { stdio: 'ignore' }).error === undefined,
);
const COUNT = 400;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function answering(port: number): Promise<void> {
  for (const deadline = Date.now() + 10_000; ; ) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`Mosquitto does not listen: ${String(error)}`);
      await wait(20);
    } finally {
      socket.destroy();
    }
  }
}

const title =
  PROGRAM === undefined ? 'Mosquitto is not installed: MQTT 5 untested' : 'two bridges at Mosquitto';
describe.skipIf(PROGRAM === undefined)(title, () => {
  const edge = new TestEdge();
  const bridges = new Map<string, ChildProcess>();
  let [directory, edgeUrl, port] = ['', '', 0];
  let mosquitto: ChildProcess | undefined;
  let device: MqttClient;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'skylark-mosquitto-'));
    port = await freePort();
    const file = join(directory, 'mosquitto.conf');
    await writeFile(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n`);
    mosquitto = spawn(PROGRAM ?? '', ['-c', file], { stdio: 'ignore' });
    await answering(port);
    edgeUrl = await edge.listen();
    device = await connectAsync(`mqtt://127.0.0.1:${port}`);
    await Promise.all([start('m1'), start('m2')]);
  });
  afterAll(async () => {
    for (const bridge of bridges.values()) bridge.kill('SIGKILL');
    await device?.endAsync(true);
    edge.close();
    mosquitto?.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  });

  async function start(id: string): Promise<ChildProcess> {
    const bridge = fork(new URL('./main.ts', import.meta.url), {
      silent: true,
      env: {
        MQTT_URL: `mqtt://127.0.0.1:${port}`,
        EDGE_URL: edgeUrl,
        BRIDGE_TOKEN: 'a-token-of-16-chars',
        BRIDGE_ID: id,
        HEALTH_PORT: '0',
      },
    });
    bridges.set(id, bridge);
    await once(bridge, 'message', { signal: AbortSignal.timeout(20_000) });
    return bridge;
  }
  const publish = (from: number) =>
    Promise.all(
      Array.from({ length: COUNT }, (_, i) =>
        device.publishAsync(`devices/D${i % 50}/notify`, String(from + i), { qos: 1 }),
      ),
    );
  const arrived = (from: number) =>
    new Set(edge.payloads.map(Number).filter((n) => n >= from && n < from + COUNT)).size;

  it('share the messages of MQTT 5, each going to one of them', async () => {
    await publish(0);
    await edge.until('all messages', () => arrived(0) === COUNT);
    expect(edge.payloads).toHaveLength(COUNT);
    expect(new Set(edge.batches.map((b) => b.bridge_id))).toEqual(new Set(['m1', 'm2']));
  });

  it('lose nothing when one of them is killed with its hands full', async () => {
    edge.answer = ({ bridge_id }) => (bridge_id === 'm1' ? new Promise(() => undefined) : 200);
    await publish(COUNT);
    await edge.until('a batch of the victim', () =>
      edge.attempts.some((b) => b.bridge_id === 'm1' && Number(b.payload[0]) >= COUNT),
    );
    const victim = bridges.get('m1');
    victim?.kill('SIGKILL');
    edge.answer = () => 200;
    await publish(2 * COUNT);
    await start('m1');
    await edge.until('all messages', () => arrived(COUNT) === COUNT && arrived(2 * COUNT) === COUNT);
  });

  it('bring commands down in order, and confirm them', async () => {
    const heard: string[] = [];
    await device.subscribeAsync('devices/D1/command', { qos: 1 });
    device.on('message', (_topic, bytes) => {
      heard.push(bytes.toString());
      edge.wake();
    });
    const ids = Array.from({ length: 100 }, (_, n) => String(n));
    edge.send({
      type: 'publish',
      messages: ids.map((id) => ({ id, topic: 'devices/D1/command', payload: id })),
    });
    await edge.until('all commands', () => heard.length === 100 && edge.confirmed.length === 100);
    expect(heard).toEqual(ids);
  });
});
