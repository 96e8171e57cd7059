/**
 * A broker's side of the wire (MQTT 3.1.1) and nothing behind it: faster than any broker, so that the bridge is what is
 * measured. Any number of messages waits here; no more than the bridge's window are under way.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { packetEnd } from '../../broker-bridge/held-socket.ts';
import type { Feed, Message } from './rig.ts';

/** As `max_inflight_messages` of a broker set up for the bridge. */
const IN_FLIGHT = 16_384;
const MAX_PACKET_ID = 65_535;
/** Messages in one write. */
const CHUNK = 256;
const [CONNECT, PUBACK, SUBSCRIBE, PINGREQ] = [1, 4, 8, 12];

export class Source implements Feed {
  url = '';
  /** Messages that wait here or are under way, those sent, and those acknowledged, since the start. */
  due = 0;
  sent = 0;
  acknowledged = 0;
  readonly #server: Server;
  readonly #message: Message;
  #socket: Socket | undefined;
  #full = false;
  #rest: Buffer = Buffer.alloc(0);
  #marks: { at: number; resolve: (now: number) => void }[] = [];

  private constructor(message: Message) {
    this.#message = message;
    this.#server = createServer((socket) => this.#take(socket));
  }

  static async start(message: Message): Promise<Source> {
    const source = new Source(message);
    source.#server.listen(0, '127.0.0.1');
    await once(source.#server, 'listening');
    const address = source.#server.address();
    source.url = `mqtt://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    return source;
  }

  /** This many more messages have come. */
  add(messages: number): void {
    this.due += messages;
    this.#pump();
  }

  /** Resolves when that many are acknowledged, with the time (`performance.now()`). */
  reached(acknowledged: number): Promise<number> {
    return new Promise((resolve) => {
      this.#marks.push({ at: acknowledged, resolve });
      this.#note();
    });
  }

  async pass(messages: number): Promise<number> {
    const before = this.due;
    this.add(messages);
    const first = await this.reached(before + 0.1 * messages);
    const last = await this.reached(before + 0.9 * messages);
    await this.reached(before + messages);
    return (0.8 * messages) / ((last - first) / 1000);
  }

  close(): void {
    this.#server.close();
    this.#socket?.destroy();
  }

  #take(socket: Socket): void {
    this.#socket = socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('drain', () => {
      this.#full = false;
      this.#pump();
    });
    socket.on('data', (chunk: Buffer) => {
      const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
      let start = 0;
      for (let end = packetEnd(bytes, start); end !== undefined; end = packetEnd(bytes, start)) {
        this.#answer(socket, bytes.subarray(start, end));
        start = end;
      }
      this.#rest = bytes.subarray(start);
      this.#note();
      this.#pump();
    });
  }

  #answer(socket: Socket, packet: Buffer): void {
    const kind = packet.readUInt8() >> 4;
    if (kind === PUBACK) this.#acknowledge(packet.readUInt16BE(2));
    else if (kind === CONNECT) socket.write(Buffer.from([0x20, 2, 0, 0]));
    else if (kind === PINGREQ) socket.write(Buffer.from([0xd0, 0]));
    else if (kind === SUBSCRIBE) {
      // One topic or several, each granted QoS 1: the client takes the first code for all that are missing.
      const [high = 0, low = 0] = packet.subarray(2);
      socket.write(Buffer.from([0x90, 5, high, low, 1, 1, 1]));
    }
  }

  #acknowledge(id: number): void {
    const expected = packetId(this.acknowledged);
    if (id !== expected) throw new Error(`the bridge acknowledged packet ${id} where ${expected} was next`);
    this.acknowledged += 1;
  }

  #note(): void {
    const reached = this.#marks.filter(({ at }) => at <= this.acknowledged);
    if (reached.length === 0) return;
    this.#marks = this.#marks.filter((mark) => !reached.includes(mark));
    for (const { resolve } of reached) resolve(performance.now());
  }

  #pump(): void {
    while (!this.#full && this.#socket !== undefined) {
      const room = Math.min(this.due - this.sent, IN_FLIGHT - (this.sent - this.acknowledged), CHUNK);
      if (room <= 0) return;
      const packets = Array.from({ length: room }, (_, i) => this.#publish(this.sent + i));
      this.sent += room;
      this.#full = !this.#socket.write(Buffer.concat(packets));
    }
  }

  #publish(n: number): Buffer {
    const { topic, payload } = this.#message(n);
    const length = 2 + topic.length + 2 + payload.length;
    const packet = Buffer.allocUnsafe(3 + length);
    packet[0] = 0x32;
    // Two bytes of length are enough for all of these (§2.2.3).
    packet[1] = (length & 0x7f) | 0x80;
    packet[2] = length >> 7;
    packet.writeUInt16BE(topic.length, 3);
    packet.write(topic, 5, 'latin1');
    packet.writeUInt16BE(packetId(n), 5 + topic.length);
    packet.write(payload, 7 + topic.length, 'latin1');
    return packet;
  }
}

const packetId = (n: number): number => (n % MAX_PACKET_ID) + 1;
