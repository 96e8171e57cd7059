import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_BATCH_MESSAGES, MAX_PAYLOAD_BYTES } from '../protocol/bridge.ts';
import { SHARD_COUNT, shardOf } from '../protocol/shards.ts';
import { AckWindow, type Held } from './ack-window.ts';
import { type Batch, Batcher, placeOf } from './batcher.ts';

const window = new AckWindow(() => undefined);
const held = (receivedAt: number): Held => {
  const fresh = window.hold(undefined, 0, receivedAt);
  if (fresh === undefined) throw new Error('nothing was held');
  return fresh;
};
const beat = (serial: string, timestamp: number) =>
  Buffer.from(JSON.stringify({ serial_no: serial, model: 'M', current_firmware: 'v1', timestamp }));
const topic = (serial: string, channel = 'heartbeat') => `devices/${serial}/${channel}`;

function all(batcher: Batcher): Batch[] {
  const batches: Batch[] = [];
  for (let batch = batcher.next(); batch !== undefined; batch = batcher.next()) batches.push(batch);
  return batches;
}

describe('batches', () => {
  it("keep only a device's newest heartbeat, which acknowledges the older ones too", () => {
    const batcher = new Batcher(0, 'heartbeat');
    for (const n of [1, 2, 3]) batcher.add(topic('D1'), beat('D1', n), held(n));
    const [batch] = all(batcher);
    expect(batch?.messages).toHaveLength(1);
    expect(batch?.messages[0]).toMatchObject({ payload: beat('D1', 3).toString(), received_at: 3 });
    expect(batch?.messages[0]?.held.map((h) => h.receivedAt)).toEqual([1, 2, 3]);
  });

  it('never let a message nobody understands be superseded', () => {
    const batcher = new Batcher(0, 'heartbeat');
    batcher.add(topic('D1'), Buffer.from('garbage'), held(1));
    batcher.add(topic('D1'), beat('D2', 1), held(2));
    batcher.add(topic('D1'), beat('D1', 1), held(3));
    expect(all(batcher)[0]?.messages).toHaveLength(3);
  });

  it('never let a message nobody understands take the place of a heartbeat', () => {
    const batcher = new Batcher(0, 'heartbeat');
    const odd = Buffer.from(beat('D1', 2).toString('latin1').replace('"v1"', '"v1","x":"\xff"'), 'latin1');
    for (const [n, payload] of [beat('D1', 1), Buffer.from('garbage')].entries())
      batcher.add(topic('D1'), payload, held(n));
    batcher.add(topic('D2'), beat('D2', 1), held(2));
    batcher.add(topic('D2'), odd, held(3));
    const messages = all(batcher)[0]?.messages;
    expect(messages?.map(({ held: [{ receivedAt } = { receivedAt: -1 }] }) => receivedAt)).toEqual([
      0, 1, 2, 3,
    ]);
    expect(messages?.map(({ utf8 }) => utf8)).toEqual([true, true, true, false]);
  });

  it('hold every message once, in order, and no more than the edge takes', () => {
    const message = fc.record({
      device: fc.nat(5),
      payload: fc.constantFrom('beat', 'garbage', 'long'),
      close: fc.nat(40),
    });
    fc.assert(
      fc.property(
        fc.constantFrom('urgent', 'heartbeat'),
        fc.array(message, { maxLength: 1500 }),
        (lane, messages) => {
          const batcher = new Batcher(3, lane);
          const batches: Batch[] = [];
          for (const [n, { device, payload, close }] of messages.entries()) {
            const text = {
              beat: beat(`D${device}`, n),
              garbage: Buffer.from('{'),
              long: Buffer.alloc(30_000, 'x'),
            };
            batcher.add(topic(`D${device}`), text[payload], held(n));
            if (close === 0) batches.push(...[batcher.next()].filter((b) => b !== undefined));
          }
          batches.push(...all(batcher));
          expect(batcher.empty).toBe(true);
          const numbers = batches.flatMap((b) => b.messages.flatMap((m) => m.held.map((h) => h.receivedAt)));
          expect(numbers.toSorted((a, b) => a - b)).toEqual(messages.map((_, n) => n));
          if (lane === 'urgent') expect(numbers).toEqual(messages.map((_, n) => n));
          for (const b of batches) expect(b.messages.length).toBeLessThanOrEqual(MAX_BATCH_MESSAGES);
          // What stands for others is newer than they.
          for (const m of batches.flatMap((b) => b.messages)) {
            expect(Math.max(...m.held.map((h) => h.receivedAt))).toBe(m.received_at);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it('are full at 500 messages or 64 KB, and what comes then begins another', () => {
    const batcher = new Batcher(0, 'urgent');
    for (let n = 0; n < MAX_BATCH_MESSAGES; n += 1) {
      expect(batcher.full).toBe(false);
      batcher.add(topic('D1', 'status'), Buffer.from('{}'), held(n));
    }
    expect(batcher.full).toBe(true);
    batcher.add(topic('D1', 'status'), Buffer.alloc(70_000), held(0));
    expect(all(batcher).map((b) => b.messages.length)).toEqual([MAX_BATCH_MESSAGES, 1]);
    batcher.add(topic('D1', 'status'), Buffer.alloc(70_000), held(0));
    expect(batcher.full).toBe(true);
  });

  it('pass payload and topic on no longer than the edge needs to refuse them', () => {
    const batcher = new Batcher(0, 'urgent');
    batcher.add(`devices/${'\u{1f600}'.repeat(5000)}/notify`, Buffer.alloc(10_000_000, 'x'), held(1));
    const [message] = batcher.next()?.messages ?? [];
    expect(message?.payload.length).toBe(MAX_PAYLOAD_BYTES + 1);
    expect(message?.topic.length).toBe(1024);
    expect(message?.topic.isWellFormed()).toBe(true);
  });
});

describe('the place of a message', () => {
  it('is the shard of its device, statuses and notifications apart from heartbeats', () => {
    expect(placeOf('devices/D1/heartbeat')).toEqual({
      shard: shardOf('D1'),
      lane: 'heartbeat',
      channel: 'heartbeat',
    });
    expect(placeOf('devices/D1/status')).toEqual({ shard: shardOf('D1'), lane: 'urgent', channel: 'status' });
    expect(placeOf('devices/D1/notify')).toMatchObject({ lane: 'urgent' });
  });

  it('exists for every topic, also for one no device has', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const name of [text, `devices/${text}/heartbeat`]) {
          const { shard } = placeOf(name);
          expect(shard >= 0 && shard < SHARD_COUNT).toBe(true);
        }
      }),
    );
    expect(placeOf('devices/no good/heartbeat')).toEqual({ shard: 0, lane: 'urgent', channel: 'other' });
  });
});
