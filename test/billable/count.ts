/** Counting what is billed for heartbeats, at an edge that counts (`worker.ts` beside this). */
import { z } from 'zod';
import { MAX_BATCH_MESSAGES } from '../../protocol/bridge.ts';
import { SHARD_COUNT, shardOf } from '../../protocol/shards.ts';
import { beat, deliver, type Said } from '../ingest.ts';
import { eventually, type Skylark } from '../skylark.ts';

const counts = z.object({
  requests: z.number(),
  object_calls: z.number(),
  alarms: z.number(),
  rows_written: z.number(),
  redis: z.number(),
  sql: z.number(),
  log_lines: z.number(),
});
export type Billable = z.infer<typeof counts>;

/** A full batch of serial numbers for every shard. */
export function steadyFleet(): string[] {
  const byShard = Array.from({ length: SHARD_COUNT }, (): string[] => []);
  for (let n = 0; byShard.some((list) => list.length < MAX_BATCH_MESSAGES); n += 1) {
    const serial = `STEADY-${n}`;
    const list = byShard[shardOf(serial)];
    if (list !== undefined && list.length < MAX_BATCH_MESSAGES) list.push(serial);
  }
  return byShard.flat();
}

/** What one full batch of heartbeats in which nothing is new costs, and one ring of a shard's alarm. */
export interface HeartbeatCost {
  batch: Billable;
  alarm: Billable;
}

/** Measures it at an edge with `worker.ts` beside this. */
export async function costOfHeartbeats(sky: Skylark): Promise<HeartbeatCost> {
  const fleet = steadyFleet();
  await arrive(sky, fleet);
  await heartbeats(sky, fleet);
  await alarms(sky);
  // A shard with nothing to do loses its memory; one of a million devices never has nothing to do.
  await heartbeats(sky, fleet);
  await reset(sky);
  for (let round = 0; round < ROUNDS; round += 1) await heartbeats(sky, fleet);
  const batches = await reset(sky);
  const rung = await alarms(sky);
  const alarm = each((key) => rung[key] / rung.alarms);
  // Alarms that rang meanwhile are counted with the others.
  const batch = each((key) => (batches[key] - alarm[key] * batches.alarms) / (ROUNDS * SHARD_COUNT));
  return { batch, alarm };
}

/**
 * What 1,000 heartbeats cost where so many come in a second: in full batches, and with their share of the shards'
 * alarms, which ring however many devices there are.
 */
export function perThousand(
  { batch, alarm }: HeartbeatCost,
  perSecond: number,
): Billable & { total: number } {
  const batches = 1000 / MAX_BATCH_MESSAGES;
  const rings = (SHARD_COUNT / ALARM_S / perSecond) * 1000;
  const cost = each((key) => Math.round((batch[key] * batches + alarm[key] * rings) * 100) / 100);
  return { ...cost, total: KEYS.reduce((sum, key) => sum + cost[key], 0) };
}

/** The fleet's first heartbeats, as they come: spread over the last five minutes. */
export async function arrive(sky: Skylark, fleet: readonly string[]): Promise<void> {
  const now = Date.now();
  await deliver(
    sky,
    fleet.map((serial, i) => beat(serial, { model: 'STEADY' }, now - (i % 290) * 1000)),
  );
}

/** One heartbeat of every device, in which nothing is new. */
async function heartbeats(sky: Skylark, fleet: readonly string[]): Promise<void> {
  const messages: Said[] = fleet.map((serial) => beat(serial, { model: 'STEADY' }));
  await deliver(sky, messages);
}

/** What was billed since the last time; starts again at zero. */
export async function reset({ facts }: Pick<Skylark, 'facts'>): Promise<Billable> {
  return counts.parse(await (await fetch(`${facts.url}/counts`)).json());
}

/** Resolves when every shard's alarm has rung, with what was billed meanwhile. */
async function alarms(sky: Skylark): Promise<Billable> {
  const sum = each(() => 0);
  return eventually("the shards' alarms", async () => {
    const more = await reset(sky);
    for (const key of KEYS) sum[key] += more[key];
    return sum.alarms >= SHARD_COUNT && sum;
  });
}

const ROUNDS = 4;
/** A shard's alarm rings this often, while a device of it is online. */
export const ALARM_S = 8;
const KEYS = counts.keyof().options;
export const each = (value: (key: keyof Billable) => number): Billable =>
  counts.parse(Object.fromEntries(KEYS.map((key) => [key, value(key)])));
