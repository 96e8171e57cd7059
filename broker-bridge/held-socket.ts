/**
 * The socket under MQTT.js. The library acknowledges a message as soon as it has handed it over; here its PUBACKs
 * are swallowed on their way out, and ours go out when the message is durable. While the window is full nothing
 * is read, so that the broker holds back and memory stays bounded.
 */

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

const PUBACK = 4;
const PINGREQ = Buffer.from([0xc0, 0x00]);

export class HeldSocket extends Duplex {
  readonly #socket: Socket;
  #gated = false;
  #wanted = false;
  #received = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.length;
      this.#wanted = this.push(chunk);
      this.#flow();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    socket.pause();
  }

  /** Stops reading, or goes on. */
  gate(closed: boolean): void {
    if (this.#gated === closed) return;
    this.#gated = closed;
    this.#flow();
  }

  /** Nothing is read. */
  get gated(): boolean {
    return this.#gated;
  }

  /** How many bytes have come. */
  get received(): number {
    return this.#received;
  }

  /** Acknowledges messages (MQTT 3.1.1 §3.4; in MQTT 5 the short form means success). */
  acknowledge(packetIds: readonly number[]): void {
    if (this.destroyed) return;
    const bytes = Buffer.alloc(packetIds.length * 4);
    for (const [index, id] of packetIds.entries()) {
      bytes.writeUInt16BE((PUBACK << 12) | 2, index * 4);
      bytes.writeUInt16BE(id, index * 4 + 2);
    }
    this.#socket.write(bytes);
  }

  /** Keeps the broker from taking the connection for dead (MQTT 3.1.1 §3.12). */
  ping(): void {
    if (!this.destroyed) this.#socket.write(PINGREQ);
  }

  override _read(): void {
    this.#wanted = true;
    this.#flow();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const pass = this.#withoutAcks(chunk);
    if (pass.length === 0 || this.#socket.write(pass)) done();
    else this.#socket.once('drain', done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'binary', done);
  }

  override _final(done: () => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #flow(): void {
    if (this.#wanted && !this.#gated) this.#socket.resume();
    else this.#socket.pause();
  }

  /** Whole packets out of what the library writes, without the PUBACKs; an unfinished one waits for its rest. */
  #withoutAcks(chunk: Buffer): Buffer {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const pass: Buffer[] = [];
    let start = 0;
    for (let end = packetEnd(bytes, start); end !== undefined; end = packetEnd(bytes, start)) {
      if ((bytes[start] ?? 0) >> 4 !== PUBACK) pass.push(bytes.subarray(start, end));
      start = end;
    }
    this.#rest = bytes.subarray(start);
    return Buffer.concat(pass);
  }
}

/** Where the packet that begins at `start` ends (MQTT 3.1.1 §2.2.3), if all of it is here. */
export function packetEnd(bytes: Buffer, start: number): number | undefined {
  let length = 0;
  for (let digit = 0; digit < 4; digit += 1) {
    const byte = bytes[start + 1 + digit];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) << (7 * digit);
    if ((byte & 0x80) === 0) {
      const end = start + 2 + digit + length;
      return end <= bytes.length ? end : undefined;
    }
  }
  throw new Error('a packet length of more than four bytes');
}
