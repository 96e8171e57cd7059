/** What ended long ago moves to the archive, a little each day. */
import { listEnded, moveToArchive } from '../../store/archive.ts';
import { cacheKey } from '../../store/cache.ts';
import type { Database } from '../../store/connection.ts';
import { invalidate } from '../coordinator/stale-keys.ts';
import type { Env } from '../env.ts';

const AFTER_MS = 90 * 86_400_000;
/** Campaigns a day. */
const DAILY = 200;

/** Moves campaigns that ended more than 90 days ago. One whose object has anything left to do stays for another day. */
export async function archiveEnded(env: Env, db: Database, now: number): Promise<void> {
  for (const id of await listEnded(db, new Date(now - AFTER_MS), DAILY)) {
    if (!(await env.CAMPAIGN.getByName(id).forget())) continue;
    await moveToArchive(db, id);
    await invalidate(env, [cacheKey.campaign(id)]);
  }
}
