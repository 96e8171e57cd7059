/** For tests: a broker without TLS, in this process, that tells what the bridge acknowledges. */
import { EventEmitter, once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import { connectAsync, type MqttClient } from 'mqtt';

export class TestBroker extends EventEmitter<{ change: [] }> {
  url = '';
  /** Messages clients of this id have acknowledged. */
  readonly acknowledged = new Map<string, number>();
  readonly sockets = new Set<Socket>();
  readonly #aedes: Aedes;
  readonly #server: Server;
  readonly #clients: MqttClient[] = [];

  private constructor(aedes: Aedes) {
    super();
    this.#aedes = aedes;
    this.#server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => undefined);
      aedes.handle(socket);
    });
    aedes.on('ack', (_packet, client) => {
      this.acknowledged.set(client.id, (this.acknowledged.get(client.id) ?? 0) + 1);
      this.emit('change');
    });
    aedes.on('client', () => void this.emit('change'));
    aedes.on('clientDisconnect', () => void this.emit('change'));
    aedes.on('publish', () => void this.emit('change'));
  }

  static async start(): Promise<TestBroker> {
    const broker = new TestBroker(await Aedes.createBroker());
    broker.#server.listen(0, '127.0.0.1');
    await once(broker.#server, 'listening');
    const address = broker.#server.address();
    broker.url = `mqtt://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    return broker;
  }

  /** Another client, to play a device. */
  async client(): Promise<MqttClient> {
    const client = await connectAsync(this.url, { protocolVersion: 4, reconnectPeriod: 0 });
    this.#clients.push(client);
    return client;
  }

  /** As if a device had said it, at QoS 1; resolves when the broker takes more. */
  publish(topic: string, payload: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#aedes.publish({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false }, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  }

  /** The connections end without a word; what the broker holds, it keeps. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Nobody reaches it until the answer is called. */
  away(): () => Promise<void> {
    const port = Number(new URL(this.url).port);
    this.#server.close();
    this.cut();
    return async () => {
      this.#server.listen(port, '127.0.0.1');
      await once(this.#server, 'listening');
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.endAsync(true)));
    await new Promise<void>((resolve) => this.#aedes.close(resolve));
    this.#server.close();
    this.cut();
  }
}
