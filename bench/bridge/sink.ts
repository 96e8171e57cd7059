/** The edge's side of a bridge, with its answers; what it does with a batch first is up to the bench. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { IngestAnswer } from '../../protocol/bridge.ts';

/** Makes a batch durable; it comes gzipped. */
export type Commit = (body: Buffer) => void | Promise<void>;

export class Sink {
  readonly #commit: Commit;
  #server: Server | undefined;
  #port = 0;

  constructor(commit: Commit = () => undefined) {
    this.#commit = commit;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens; after `close`, on the same port again. */
  async open(): Promise<this> {
    const server = createServer(async (request, response) => {
      const body = await buffer(request).catch(() => undefined);
      if (body === undefined) return;
      if (request.url !== '/ingest') return response.end('{}');
      await this.#commit(body);
      return response.end(JSON.stringify({ accepted: 0, rejected: 0 } satisfies IngestAnswer));
    });
    server.on('upgrade', acceptLink);
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    this.#server = server;
    return this;
  }

  /** Gone, with all of its connections. */
  close(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
  }
}

/** The command link (RFC 6455 §4.2.2), on which nothing is sent: all that comes is `ping`. */
function acceptLink(request: IncomingMessage, socket: Duplex): void {
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash('sha1').update(key).digest('base64');
  socket.on('error', () => undefined);
  socket.on('data', () => socket.write(Buffer.from([0x81, 4, ...Buffer.from('pong')])));
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
}
