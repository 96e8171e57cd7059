/** For tests: the edge at its outermost wire, taking batches as the test tells it and sending what it is told to. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import {
  type BridgeState,
  bridgeState,
  type IngestBatch,
  ingestBatch,
  type LinkDown,
  linkUp,
} from '../protocol/bridge.ts';

const DEADLINE_MS = 15_000;

export class TestEdge {
  /** Batches that were answered with 200, and every attempt. */
  readonly batches: IngestBatch[] = [];
  readonly attempts: IngestBatch[] = [];
  /** Ids the bridge has confirmed. */
  readonly confirmed: string[] = [];
  /** What each bridge that is there said of itself last. */
  readonly leases = new Map<string, BridgeState>();
  links: Duplex[] = [];
  answer: (batch: IngestBatch) => number | Promise<number> = () => 200;
  /** Whether it answers pings. */
  alive = true;
  readonly #waiting = new Set<() => void>();
  #server: Server | undefined;
  #port = 0;

  /** Listens; the second time on the same port. */
  async listen(): Promise<string> {
    const server = createServer((request, response) => void this.#take(request, response));
    server.on('upgrade', (request, socket) => this.#upgrade(request, socket));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    this.#server = server;
    return `http://127.0.0.1:${this.#port}`;
  }

  close(): void {
    for (const link of this.links) link.destroy();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  get payloads(): string[] {
    return this.batches.flatMap((b) => b.payload);
  }

  send(message: LinkDown): void {
    const text = Buffer.from(JSON.stringify(message));
    const head = text.length < 126 ? [0x81, text.length] : [0x81, 126, text.length >> 8, text.length & 255];
    this.links.at(-1)?.write(Buffer.concat([Buffer.from(head), text]));
  }

  /** Something has happened elsewhere: look again. */
  wake(): void {
    for (const look of this.#waiting) look();
  }

  /** Resolves when it holds; looked at whenever something happens here. */
  async until(what: string, holds: () => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`waited ${DEADLINE_MS} ms for ${what}`));
      }, DEADLINE_MS);
      const look = () => {
        if (!holds()) return;
        done();
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const lease = /^\/bridge\/leases\/(.+)$/.exec(request.url ?? '')?.[1];
    if (lease !== undefined) return this.#lease(lease, request, response);
    const batch = ingestBatch.parse(JSON.parse(gunzipSync(await buffer(request)).toString()));
    this.attempts.push(batch);
    this.wake();
    const status = await this.answer(batch);
    if (status === 200) this.batches.push(batch);
    response.writeHead(status).end(JSON.stringify({ accepted: batch.topic.length, rejected: 0 }));
    this.wake();
  }

  async #lease(id: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    if (request.method === 'PUT') this.leases.set(id, bridgeState.parse(JSON.parse(body.toString())));
    else this.leases.delete(id);
    response.end(JSON.stringify({ ttl_s: 60 }));
    this.wake();
  }

  #upgrade(request: IncomingMessage, socket: Duplex): void {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    this.links.push(socket);
    let rest = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.links = this.links.filter((link) => link !== socket);
      this.wake();
    });
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (let frame = readFrame(rest); frame !== undefined; frame = readFrame(rest)) {
        rest = rest.subarray(frame.length);
        if (frame.text === undefined) socket.end();
        else this.#hear(frame.text, socket);
      }
      this.wake();
    });
    this.wake();
  }

  #hear(text: string, socket: Duplex): void {
    if (text !== 'ping') this.confirmed.push(...linkUp.parse(JSON.parse(text)).ids);
    else if (this.alive) socket.write(Buffer.from([0x81, 4, ...Buffer.from('pong')]));
  }
}

/** A masked frame shorter than 64 KB (RFC 6455 §5.2), if all of it is here; no text: the other side closes. */
function readFrame(bytes: Buffer): { text: string | undefined; length: number } | undefined {
  const [opcode, second] = bytes;
  if (opcode === undefined || second === undefined) return undefined;
  const short = second & 0x7f;
  if (short === 126 && bytes.length < 4) return undefined;
  const [size, start] = short === 126 ? [bytes.readUInt16BE(2), 4] : [short, 2];
  const length = start + 4 + size;
  if (bytes.length < length) return undefined;
  const mask = bytes.subarray(start, start + 4);
  const plain = bytes.subarray(start + 4, length).map((byte, i) => byte ^ (mask[i % 4] ?? 0));
  return { text: (opcode & 0x0f) === 8 ? undefined : Buffer.from(plain).toString(), length };
}
