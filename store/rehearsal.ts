/** What a rehearsal is played with: how devices came and went, and how the updates of a model ended. */
import { sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Database } from './connection.ts';

/** How many campaigns of the past are looked at, and how many devices of each. */
const CAMPAIGNS = 20;
const UPDATES = 500;

export interface Connection {
  /** Whether it was there at the beginning. */
  before: boolean;
  /** Unix milliseconds, oldest first. */
  changes: number[];
}

const connectionRow = z.object({
  id: z.string(),
  there: z.boolean(),
  is_new: z.boolean(),
  first: z.string().nullable(),
  changes: z.array(z.number()).nullable(),
});

/**
 * When these devices came and went since a moment, by their id. A device that is newer counts as there from the
 * beginning: what it did before it was registered says nothing of it.
 */
export async function listConnections(
  db: Database,
  deviceIds: readonly string[],
  since: Date,
): Promise<Map<string, Connection>> {
  const { rows } = await db.execute(sql`
    SELECT d.id, d.status <> 'offline' AS there, d.created_at >= ${since.toISOString()}::timestamptz AS is_new,
           e.first, e.changes
    FROM devices d LEFT JOIN LATERAL (
      SELECT (array_agg(e.kind ORDER BY e.at))[1] AS first,
             array_agg((extract(epoch FROM e.at) * 1000)::float8 ORDER BY e.at) AS changes
      FROM device_events e
      WHERE e.device_id = d.id AND e.at >= ${since.toISOString()}::timestamptz AND e.kind IN ('online', 'offline')
    ) e ON true
    WHERE d.id = ANY(${sql.param(deviceIds)}::uuid[])`);
  return new Map(
    connectionRow
      .array()
      .parse(rows)
      .map(({ id, there, is_new, first, changes }) => {
        if (is_new && first === 'online') return [id, { before: true, changes: changes?.slice(1) ?? [] }];
        return [id, { before: first === null ? there : first === 'offline', changes: changes ?? [] }];
      }),
  );
}

export interface UpdateHistory {
  finished: number;
  failed: number;
  rollback: number;
  timeout: number;
  /** From offer to completion in milliseconds: nineteen quantiles, or none. */
  durations: number[];
}

const n = z.coerce.number();
const historyRow = z.object({
  completed: n,
  failed: n,
  rollback: n,
  timeout: n,
  durations: z.array(n).nullable(),
});

/** How the updates of a model ended, in its latest campaigns since a moment. */
export async function updateHistory(db: Database, model: string, since: Date): Promise<UpdateHistory> {
  const { rows } = await db.execute(sql`
    WITH latest AS (
      SELECT c.id FROM campaigns c JOIN firmware f ON f.id = c.firmware_id
      WHERE f.model = ${model} AND c.started_at >= ${since.toISOString()}::timestamptz
      ORDER BY c.started_at DESC LIMIT ${CAMPAIGNS}
    ), u AS (
      SELECT u.* FROM latest CROSS JOIN LATERAL (
        SELECT status, error, offered_at, completed_at FROM campaign_devices m
        WHERE m.campaign_id = latest.id AND m.status IN ('completed', 'failed', 'rollback') LIMIT ${UPDATES}
      ) u
    )
    SELECT count(*) FILTER (WHERE status = 'completed') AS completed,
           count(*) FILTER (WHERE status = 'failed' AND error NOT IN ('timeout', 'no_answer')) AS failed,
           count(*) FILTER (WHERE status = 'rollback') AS rollback,
           count(*) FILTER (WHERE status = 'failed' AND error IN ('timeout', 'no_answer')) AS timeout,
           percentile_disc(ARRAY[.05,.1,.15,.2,.25,.3,.35,.4,.45,.5,.55,.6,.65,.7,.75,.8,.85,.9,.95]) WITHIN GROUP
             (ORDER BY (extract(epoch FROM completed_at - offered_at) * 1000)::float8)
             FILTER (WHERE status = 'completed' AND offered_at IS NOT NULL) AS durations
    FROM u`);
  const { completed, durations, ...ends } = historyRow.parse(rows[0]);
  return {
    ...ends,
    finished: completed + ends.failed + ends.rollback + ends.timeout,
    durations: durations ?? [],
  };
}
