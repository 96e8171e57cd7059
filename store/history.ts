/** The months of history: each has a partition of its own, made before its first row comes and dropped as a whole. */
import { sql } from 'drizzle-orm';
import type { Database } from './connection.ts';

/** Partitions there are beside the month's own, so that an upkeep that fails for weeks refuses nobody. */
const MONTHS_AHEAD = 3;

/**
 * Makes the partitions of the month of `now` and of those after it, where they are missing; rows which the default
 * partition has taken for them move in. Answers how many it made.
 */
export async function makeEventMonths(db: Database, now: Date): Promise<number> {
  const months = Array.from(
    { length: MONTHS_AHEAD + 1 },
    (_, ahead) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1)),
  );
  // One statement a month: each is a transaction, and holds up writers for as long as its own move takes.
  let made = 0;
  for (const month of months) {
    const { rows } = await db.execute<{ made: boolean }>(
      sql`SELECT make_event_month(${month.toISOString().slice(0, 10)}::date) AS made`,
    );
    if (rows[0]?.made === true) made += 1;
  }
  return made;
}

/** Rows of the default partition deleted in one statement. */
const STEP = 5000;

/**
 * Drops the partitions of months that ended before a moment, and deletes what lies in the default partition from
 * before it, up to `most` rows. Answers the partitions it dropped.
 */
export async function dropEventMonths(db: Database, before: Date, most = 100_000): Promise<string[]> {
  const { rows } = await db.execute<{ name: string }>(sql`
    SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'device_events'::regclass AND c.relname ~ '^device_events_[0-9]{4}_[0-9]{2}$'
      AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= ${before.toISOString()}::timestamptz AT TIME ZONE 'UTC'
    ORDER BY 1`);
  for (const { name } of rows) await db.execute(sql`DROP TABLE IF EXISTS ${sql.identifier(name)}`);
  for (let left = most; left > 0; left -= STEP) {
    const { rowCount } = await db.execute(sql`
      DELETE FROM device_events_default WHERE (id, at) IN
        (SELECT id, at FROM device_events_default WHERE at < ${before.toISOString()}::timestamptz LIMIT ${STEP})`);
    if (rowCount < STEP) break;
  }
  return rows.map(({ name }) => name);
}
