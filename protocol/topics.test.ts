import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SHARD_COUNT, shardOf } from './shards.ts';
import { parseUpTopic, upTopic } from './topics.ts';

describe('device topics', () => {
  it('say who speaks and what about', () => {
    expect(parseUpTopic(upTopic('TX_1-a', 'status'))).toEqual({ serial_no: 'TX_1-a', channel: 'status' });
  });

  it('are refused with anything else in them', () => {
    for (const topic of [
      'devices/a/command',
      'devices/a/b/status',
      'devices/+/status',
      'device/a/status',
      'devices//status',
      'devices/a%2fb/status',
    ]) {
      expect(parseUpTopic(topic)).toBeUndefined();
    }
  });
});

describe('fleet shards', () => {
  it('take consecutive serial numbers evenly', () => {
    const counts = Array.from({ length: SHARD_COUNT }, () => 0);
    for (let n = 0; n < 16_000; n += 1) {
      const shard = shardOf(`TX100-${String(n).padStart(6, '0')}`);
      counts[shard] = (counts[shard] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('hold every serial number there can be', () => {
    fc.assert(fc.property(fc.string(), (serial) => shardOf(serial) >= 0 && shardOf(serial) < SHARD_COUNT));
  });
});
