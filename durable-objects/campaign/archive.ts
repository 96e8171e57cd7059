/** What ended long ago moves to the archive, a little at a time. */
import { listEnded, moveToArchive } from '../../store/archive.ts';
import { cacheKey } from '../../store/cache.ts';
import type { Database } from '../../store/connection.ts';
import { invalidate } from '../coordinator/stale-keys.ts';
import type { Env } from '../env.ts';

/** Campaigns, and devices' parts in them, in one go: it has to fit into what one call may ask of others. */
const CAMPAIGNS = 50;
const PARTS = 500_000;

/**
 * Moves campaigns that ended before a moment, with their updates. One whose object has anything left to do stays for
 * another day. Answers whether it stopped before all was done. Broken off, it goes on where it was.
 */
export async function archiveEnded(env: Env, db: Database, before: Date): Promise<boolean> {
  const ended = await listEnded(db, before, CAMPAIGNS);
  let left = PARTS;
  let archived = 0;
  for (const id of ended) {
    if (!(await env.CAMPAIGN.getByName(id).forget())) continue;
    const { moved, done } = await moveToArchive(db, id, left);
    left -= moved;
    if (!done) return true;
    archived += 1;
    await invalidate(env, [cacheKey.campaign(id)]);
  }
  return ended.length === CAMPAIGNS && archived > 0;
}
