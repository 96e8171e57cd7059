/** What a batch is worth: heartbeats posted to the edge by the hundred, or one by one. */
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { MAX_BATCH_MESSAGES } from '../protocol/bridge.ts';
import { shardOf } from '../protocol/shards.ts';
import { type Skylark, startSkylark } from '../test/skylark.ts';
import { type Bench, compare, perSecond } from './compare.ts';

const pack = promisify(gzip);

/** Serial numbers that live in one shard, as a bridge would batch them. */
const serials = Array.from({ length: 20_000 }, (_, n) => `BENCH-${n}`)
  .filter((serial) => shardOf(serial) === 0)
  .slice(0, MAX_BATCH_MESSAGES);

async function ingest({ facts }: Skylark, group: readonly string[]): Promise<void> {
  const timestamp = Math.floor(Date.now() / 1000);
  const body = await pack(
    JSON.stringify({
      batch_id: randomUUID(),
      bridge_id: 'bench',
      shard: 0,
      topic: group.map((serial) => `devices/${serial}/heartbeat`),
      payload: group.map((serial_no) =>
        JSON.stringify({ serial_no, model: 'BENCH', current_firmware: 'v1.0.0', timestamp }),
      ),
      received_at: group.map(() => Date.now()),
    }),
  );
  const response = await fetch(`${facts.url}/ingest`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${facts.bridge_token}`,
      'Content-Encoding': 'gzip',
      'Content-Type': 'application/json',
    },
    body: new Uint8Array(body),
  });
  if (!response.ok) throw new Error(`ingest answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

export const ingestBench: Bench = async () => {
  const sky = await startSkylark();
  try {
    return [
      await compare(
        'heartbeats in batches of 500 ÷ one by one',
        '≥ 50',
        'messages/s',
        () =>
          perSecond(20 * serials.length, async () => {
            for (let i = 0; i < 20; i += 1) await ingest(sky, serials);
          }),
        () =>
          perSecond(100, async () => {
            for (const serial of serials.slice(0, 100)) await ingest(sky, [serial]);
          }),
      ),
    ];
  } finally {
    await sky.stop();
  }
};
