/** The months of history: each has a partition of its own, made before its first row comes. */
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
