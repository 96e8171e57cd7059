/**
 * The archive: campaigns that ended long ago move there, their devices' parts first, in steps of one transaction
 * each. In every moment each row is in exactly one of the two places, and the views `all_…` read both; a move that was
 * broken off goes on with the next one.
 */
import { and, asc, getTableColumns, inArray, lt, sql } from 'drizzle-orm';
import type { PgTable } from 'drizzle-orm/pg-core';
import type { Database } from './connection.ts';
import { archivedCampaignDevices, archivedCampaigns, campaignDevices, campaigns } from './schema.ts';

/** Rows moved in one transaction. */
const STEP = 5000;

/** Campaigns that ended before a moment, the longest ago first. */
export async function listEnded(db: Database, before: Date, limit: number): Promise<string[]> {
  const rows = await db
    .select({ id: campaigns.id })
    .from(campaigns)
    .where(
      and(
        inArray(campaigns.status, ['completed', 'cancelled', 'rolled_back']),
        lt(campaigns.finishedAt, before),
      ),
    )
    .orderBy(asc(campaigns.finishedAt))
    .limit(limit);
  return rows.map(({ id }) => id);
}

/**
 * Moves a campaign, whose object writes no more of it, and its devices' parts, up to `most` of them. Answers how many
 * parts it moved, and whether all is in the archive now.
 */
export async function moveToArchive(
  db: Database,
  id: string,
  most: number,
): Promise<{ moved: number; done: boolean }> {
  let moved = 0;
  while (moved < most) {
    const wanted = Math.min(STEP, most - moved);
    const step = await moveParts(db, id, wanted);
    moved += step;
    if (step === wanted) continue;
    return { moved, done: await moveCampaign(db, id) };
  }
  return { moved, done: false };
}

async function moveParts(db: Database, id: string, limit: number): Promise<number> {
  const columns = columnsOf(campaignDevices);
  const { rowCount } = await db.execute(sql`
    WITH moved AS (
      DELETE FROM campaign_devices WHERE (campaign_id, serial_no) IN
        (SELECT campaign_id, serial_no FROM campaign_devices WHERE campaign_id = ${id} ORDER BY serial_no LIMIT ${limit})
      RETURNING *)
    INSERT INTO ${archivedCampaignDevices} (${columns}) SELECT ${columns} FROM moved
    ON CONFLICT DO NOTHING`);
  return rowCount;
}

async function moveCampaign(db: Database, id: string): Promise<boolean> {
  const columns = columnsOf(campaigns);
  const { rowCount } = await db.execute(sql`
    WITH moved AS (
      DELETE FROM campaigns c WHERE id = ${id}
        AND NOT EXISTS (SELECT FROM campaign_devices m WHERE m.campaign_id = c.id)
      RETURNING *)
    INSERT INTO ${archivedCampaigns} (${columns}) SELECT ${columns} FROM moved`);
  return rowCount > 0;
}

/** The archive's tables have the same columns, in an order of their own. */
const columnsOf = (table: PgTable) =>
  sql.join(
    Object.values(getTableColumns(table)).map(({ name }) => sql.identifier(name)),
    sql`, `,
  );
