/** Device messages straight to the edge, as a bridge brings them: for tests and benches that need no broker. */
import { randomUUID } from 'node:crypto';
import { shardOf } from '../protocol/shards.ts';
import type { Skylark } from './skylark.ts';

/** One message of a device. `at` is when the bridge received it, Unix milliseconds. */
export interface Said {
  serial_no: string;
  channel: 'heartbeat' | 'status' | 'notify';
  payload: object;
  at?: number;
}

/** A heartbeat with everything a device must say. */
export const beat = (serial_no: string, more: object = {}, at = Date.now()): Said => ({
  serial_no,
  channel: 'heartbeat',
  payload: {
    serial_no,
    model: 'TX-100',
    current_firmware: 'v1.0.0',
    timestamp: Math.floor(at / 1000),
    ...more,
  },
  at,
});

/** Delivers messages, one batch a shard; answers how many were rejected. `place` says which shard a device is in. */
export async function deliver(
  { facts }: Pick<Skylark, 'facts'>,
  messages: readonly Said[],
  batchId: string = randomUUID(),
  place = shardOf,
): Promise<number> {
  let rejected = 0;
  for (const [shard, group] of Map.groupBy(messages, ({ serial_no }) => place(serial_no))) {
    const response = await fetch(`${facts.url}/ingest`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${facts.bridge_token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({
        batch_id: batchId,
        bridge_id: 'test',
        shard,
        topic: group.map(({ serial_no, channel }) => `devices/${serial_no}/${channel}`),
        payload: group.map(({ payload }) => JSON.stringify(payload)),
        received_at: group.map(({ at }) => at ?? Date.now()),
      }),
    });
    if (response.status !== 200)
      throw new Error(`ingest answered ${response.status}: ${await response.text()}`);
    rejected += ((await response.json()) as { rejected: number }).rejected;
  }
  return rejected;
}
