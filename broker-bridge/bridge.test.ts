import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcp, type Server as TcpServer } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { Aedes } from 'aedes';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type IngestBatch, ingestBatch } from '../protocol/bridge.ts';
import { type Bridge, startBridge } from './bridge.ts';
import { readConfiguration } from './configuration.ts';

/** The edge at its outermost wire: takes batches as the test tells it, and a link that says nothing. */
class Edge {
  readonly batches: IngestBatch[] = [];
  answer: (batch: IngestBatch) => number | Promise<number> = () => 200;
  readonly #server = createServer((request, response) => void this.#take(request, response));
  #wake = () => {};

  async listen(): Promise<string> {
    this.#server.on('upgrade', (request, socket) => {
      const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash('sha1').update(key).digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      socket.on('error', () => undefined);
    });
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const batch = ingestBatch.parse(JSON.parse(gunzipSync(await buffer(request)).toString()));
    const status = await this.answer(batch);
    if (status === 200) this.batches.push(batch);
    response.writeHead(status).end('{}');
    this.#wake();
  }

  get payloads(): string[] {
    return this.batches.flatMap((b) => b.payload);
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds())
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

describe('the bridge', () => {
  let [aedes, broker, edge, bridge, device] = [] as unknown as [
    Aedes,
    TcpServer,
    Edge,
    Bridge | undefined,
    MqttClient,
  ];
  let [mqttUrl, edgeUrl] = ['', ''];
  /** Messages of the bridge's session the broker still holds. */
  let acknowledged = 0;

  const environment = () => ({
    MQTT_URL: mqttUrl,
    EDGE_URL: edgeUrl,
    BRIDGE_TOKEN: 'a-token-of-16-chars',
    BRIDGE_ID: 'b1',
    MQTT_VERSION: '4',
    HEALTH_PORT: '0',
  });
  const start = async () => {
    bridge = await startBridge(readConfiguration(environment()));
    return bridge;
  };

  beforeEach(async () => {
    aedes = await Aedes.createBroker();
    acknowledged = 0;
    aedes.on('ack', (_packet, client) => {
      if (client.id === 'b1') acknowledged += 1;
    });
    broker = createTcp((socket) => aedes.handle(socket));
    broker.listen(0, '127.0.0.1');
    await once(broker, 'listening');
    const address = broker.address();
    mqttUrl = `mqtt://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    edge = new Edge();
    edgeUrl = await edge.listen();
    device = await connectAsync(mqttUrl, { protocolVersion: 4 });
  });
  afterEach(async () => {
    edge.answer = () => 200;
    await bridge?.close();
    await device.endAsync(true);
    edge.close();
    await new Promise<void>((resolve) => aedes.close(resolve));
    broker.close();
  });

  const publish = (n: number) => device.publishAsync(`devices/D${n}/status`, `{"n":${n}}`, { qos: 1 });

  it('acknowledges to the broker only what the edge has made durable', async () => {
    let release = () => {};
    const blocked = new Promise<void>((resolve) => {
      release = resolve;
    });
    let asked = () => {};
    const arrived = new Promise<void>((resolve) => {
      asked = resolve;
    });
    edge.answer = async () => {
      asked();
      await blocked;
      return 200;
    };
    await start();
    await publish(1);
    await arrived;
    expect(acknowledged).toBe(0);
    const done = once(aedes, 'ack');
    release();
    await done;
    expect(acknowledged).toBe(1);
  });

  it('tries again while the edge is down, and loses nothing', async () => {
    let refusals = 3;
    edge.answer = () => (refusals-- > 0 ? 503 : 200);
    await start();
    await Promise.all([1, 2, 3, 4, 5].map(publish));
    await edge.until(() => edge.payloads.length >= 5);
    expect([...new Set(edge.payloads)].sort()).toEqual([1, 2, 3, 4, 5].map((n) => `{"n":${n}}`));
  });

  it('loses nothing when it is killed before the edge has answered', async () => {
    let asked = () => {};
    const arrived = new Promise<void>((resolve) => {
      asked = resolve;
    });
    edge.answer = () => {
      asked();
      return new Promise(() => undefined);
    };
    const victim = fork(new URL('./main.ts', import.meta.url), { env: environment(), silent: true });
    await once(victim, 'message');
    await publish(1);
    await arrived;
    victim.kill('SIGKILL');
    await once(victim, 'exit');
    edge.answer = () => 200;
    await start();
    await edge.until(() => edge.payloads.includes('{"n":1}'));
  });

  it('finds the one message the edge refuses for ever, and lets it block nothing else', async () => {
    edge.answer = (batch) => (batch.payload.includes('{"n":3}') ? 400 : 200);
    const { healthPort } = await start();
    await Promise.all([1, 2, 3, 4, 5].map(publish));
    await edge.until(() => edge.payloads.length === 4);
    expect(edge.payloads.sort()).toEqual([1, 2, 4, 5].map((n) => `{"n":${n}}`));
    const metrics = await (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text();
    expect(metrics).toContain('skylark_bridge_refused_total 1');
    expect(metrics).toContain('skylark_bridge_dropped_total 0');
  });

  it('says what it needs when it is not told', () => {
    expect(() => readConfiguration({})).toThrow(/MQTT_URL.*EDGE_URL.*BRIDGE_TOKEN/);
  });
});
