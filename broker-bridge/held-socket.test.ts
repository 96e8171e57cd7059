import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { keepaliveTimer } from './broker-connection.ts';
import { HeldSocket, packetEnd } from './held-socket.ts';

/** A packet of MQTT 3.1.1 or 5 (§2.1): its first byte, the length in base 128, the rest. */
function packetOf(first: number, body: Uint8Array): Buffer {
  const head = [first];
  let length = body.length;
  do {
    head.push((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
    length >>= 7;
  } while (length > 0);
  return Buffer.concat([Buffer.from(head), body]);
}

const packetId = fc.uint8Array({ minLength: 2, maxLength: 2 });
const packet = fc.oneof(
  packetId.map((id) => ({ ack: true, bytes: packetOf(0x40, id) })),
  // The long form of MQTT 5, with a reason code and no properties.
  packetId.map((id) => ({ ack: true, bytes: packetOf(0x40, Buffer.from([...id, 0x10, 0x00])) })),
  fc.uint8Array({ maxLength: 400 }).map((body) => ({ ack: false, bytes: packetOf(0x32, body) })),
  fc.constant({ ack: false, bytes: packetOf(0xc0, Buffer.alloc(0)) }),
);

describe('the socket under MQTT.js', () => {
  let server: Server;
  let far: Socket;
  afterEach(() => {
    far.destroy();
    server.close();
  });

  async function setUp() {
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const near = connect(typeof address === 'object' && address !== null ? address.port : 0, '127.0.0.1');
    [far] = await once(server, 'connection');
    return new HeldSocket(near);
  }

  it('keeps back the acknowledgements the library writes, and nothing else, however it cuts its writes', async () => {
    const held = await setUp();
    const heard: Buffer[] = [];
    far.on('data', (chunk) => heard.push(chunk));
    let expected = Buffer.alloc(0);
    await fc.assert(
      fc.asyncProperty(
        fc.array(packet, { maxLength: 20 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 50 })),
        async (packets, cuts) => {
          const all = Buffer.concat(packets.map(({ bytes }) => bytes));
          for (let start = 0; start < all.length; ) {
            const size = cuts.next().value;
            held.write(all.subarray(start, start + size));
            start += size;
          }
          const kept = packets.filter(({ ack }) => !ack).map(({ bytes }) => bytes);
          expected = Buffer.concat([expected, ...kept]);
        },
      ),
      { numRuns: 100 },
    );
    held.end();
    await once(far, 'end');
    expect(Buffer.concat(heard).equals(expected)).toBe(true);
  });

  it('gives our acknowledgements in one write, and none when it is gone', async () => {
    const held = await setUp();
    held.acknowledge([1, 258, 65_535]);
    const [bytes] = await once(far, 'data');
    expect(bytes.toString('hex')).toBe('40020001400201024002ffff');
    held.destroy();
    held.acknowledge([7]);
    held.ping();
  });

  it('does not take a broker for dead whose answer it does not read', async () => {
    const held = await setUp();
    vi.useFakeTimers();
    try {
      const elapsed = vi.fn();
      const timer = keepaliveTimer(held);
      held.gate(true);
      const id = timer.set(elapsed, 15_000);
      const pings = once(far, 'data');
      vi.advanceTimersByTime(60_000);
      expect(elapsed).not.toHaveBeenCalled();
      held.gate(false);
      vi.advanceTimersByTime(15_000);
      expect(elapsed).toHaveBeenCalledOnce();
      timer.clear(id);
      vi.advanceTimersByTime(60_000);
      expect(elapsed).toHaveBeenCalledOnce();
      expect((await pings)[0].toString('hex')).toMatch(/^(c000)+$/);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('the end of a packet', () => {
  it('is where its length says, and is not found before all of it is here', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20_000 }), (size) => {
        const bytes = packetOf(0x30, Buffer.alloc(size));
        expect(packetEnd(bytes, 0)).toBe(bytes.length);
        expect(packetEnd(bytes.subarray(0, -1), 0)).toBeUndefined();
      }),
    );
  });

  it('cannot lie behind a length of five bytes', () => {
    expect(() => packetEnd(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), 0)).toThrow(/four bytes/);
  });
});
