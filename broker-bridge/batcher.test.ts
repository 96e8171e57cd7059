import { describe, expect, it } from 'vitest';
import { MAX_BATCH_MESSAGES, MAX_PAYLOAD_BYTES } from '../protocol/bridge.ts';
import { shardOf } from '../protocol/shards.ts';
import { Batcher } from './batcher.ts';

const held = (packetId: number) => ({ packetId, durable: false });
const beat = (serial: string, timestamp: number) =>
  Buffer.from(JSON.stringify({ serial_no: serial, model: 'M', current_firmware: 'v1', timestamp }));
const topic = (serial: string, channel = 'heartbeat') => `devices/${serial}/${channel}`;

describe('batches', () => {
  it("keep only a device's newest heartbeat, which acknowledges the older ones too", () => {
    const batcher = new Batcher();
    for (const n of [1, 2, 3]) batcher.add(topic('D1'), beat('D1', n), n, held(n));
    const [batch] = batcher.takeAll('heartbeat');
    expect(batch?.messages).toHaveLength(1);
    expect(batch?.messages[0]).toMatchObject({ payload: beat('D1', 3).toString(), received_at: 3 });
    expect(batch?.messages[0]?.held.map((h) => h.packetId)).toEqual([1, 2, 3]);
  });

  it('never let a message nobody understands be superseded', () => {
    const batcher = new Batcher();
    batcher.add(topic('D1'), Buffer.from('garbage'), 1, held(1));
    batcher.add(topic('D1'), beat('D2', 1), 1, held(2));
    batcher.add(topic('D1'), beat('D1', 1), 1, held(3));
    expect(batcher.takeAll('heartbeat')[0]?.messages).toHaveLength(3);
  });

  it('keep every status and notification, in order, and apart from heartbeats', () => {
    const batcher = new Batcher();
    batcher.add(topic('D1'), beat('D1', 1), 1, held(1));
    for (const n of [1, 2]) batcher.add(topic('D1', 'status'), Buffer.from(String(n)), n, held(n));
    batcher.add(topic('D1', 'notify'), Buffer.from('3'), 3, held(3));
    expect(batcher.takeAll('urgent').flatMap((b) => b.messages.map((m) => m.payload))).toEqual([
      '1',
      '2',
      '3',
    ]);
    expect(batcher.takeAll('heartbeat')).toHaveLength(1);
  });

  it('hold devices of one shard, and no more than the edge takes', () => {
    const batcher = new Batcher();
    const batches = [];
    for (let n = 0; n < 20_000; n += 1) {
      const full = batcher.add(topic(`D${n}`, 'status'), Buffer.from('{}'), n, held(n));
      if (full !== undefined) batches.push(full);
    }
    batches.push(...batcher.takeAll('urgent'));
    expect(batches.reduce((sum, b) => sum + b.messages.length, 0)).toBe(20_000);
    for (const { shard, messages } of batches) {
      expect(messages.length).toBeLessThanOrEqual(MAX_BATCH_MESSAGES);
      for (const m of messages) expect(shardOf(m.topic.split('/')[1] ?? '')).toBe(shard);
    }
  });

  it('pass a payload on no longer than the edge needs to refuse it', () => {
    const batcher = new Batcher();
    const full = batcher.add('devices/D1/notify', Buffer.alloc(10_000_000, 'x'), 1, held(1));
    expect(full?.messages[0]?.payload.length).toBe(MAX_PAYLOAD_BYTES + 1);
  });
});
