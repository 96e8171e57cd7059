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

/** The fleet's first heartbeats, as they come: spread over the last five minutes. */
export async function arrive(sky: Skylark, fleet: readonly string[]): Promise<void> {
  const now = Date.now();
  await deliver(
    sky,
    fleet.map((serial, i) => beat(serial, { model: 'STEADY' }, now - (i % 290) * 1000)),
  );
}

/** One heartbeat of every device, in which nothing is new. */
export async function heartbeats(sky: Skylark, fleet: readonly string[]): Promise<void> {
  const messages: Said[] = fleet.map((serial) => beat(serial, { model: 'STEADY' }));
  await deliver(sky, messages);
}

/** What was billed since the last time; starts again at zero. */
export async function reset({ facts }: Pick<Skylark, 'facts'>): Promise<Billable> {
  return counts.parse(await (await fetch(`${facts.url}/counts`)).json());
}

/** Resolves when every shard's alarm has rung, with what was billed meanwhile. */
export async function alarms(sky: Skylark): Promise<Billable> {
  const sum = counts.parse(Object.fromEntries(KEYS.map((key) => [key, 0])));
  return eventually("the shards' alarms", async () => {
    const more = await reset(sky);
    for (const key of KEYS) sum[key] += more[key];
    return sum.alarms >= SHARD_COUNT && sum;
  });
}

/**
 * What 1,000 heartbeats cost, out of what `n` of them did: their batches, and their share of the shards' alarms, which
 * ring each 10 s however many devices there are.
 */
export function costOf(
  batches: Billable,
  n: number,
  rung: Billable,
  perSecond: number,
): Billable & { total: number } {
  const alarmsPerThousand = (SHARD_COUNT / ALARM_S / perSecond) * 1000;
  const cost = counts.parse(
    Object.fromEntries(
      KEYS.map((key) => [
        key,
        round(
          // Alarms that rang meanwhile are counted with the others.
          ((batches[key] - (rung[key] / rung.alarms) * batches.alarms) / n) * 1000 +
            (rung[key] / rung.alarms) * alarmsPerThousand,
        ),
      ]),
    ),
  );
  return { ...cost, total: round(KEYS.reduce((sum, key) => sum + cost[key], 0)) };
}

const ALARM_S = 10;
const KEYS = counts.keyof().options;
const round = (n: number): number => Math.round(n * 100) / 100;
