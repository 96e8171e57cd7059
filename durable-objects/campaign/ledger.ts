/** A campaign object's way to the ledger: its members and its own row, in bulk, as often as it takes. */
import { cacheKey } from '../../store/cache.ts';
import { type CampaignChange, changeCampaign, writeMembers } from '../../store/campaigns.ts';
import type { Database } from '../../store/connection.ts';
import { invalidate } from '../coordinator/stale-keys.ts';
import type { Env } from '../env.ts';
import type { CampaignState } from './definition.ts';
import { release, yieldDevices } from './fleet.ts';
import { isFinal, type Member } from './member.ts';
import type { Members } from './members.ts';
import { metricsOf } from './metrics.ts';

const BATCH = 1000;
/** Batches written in one tick, so that the gate is judged in between. */
const MOST = 20;

/**
 * Writes members the ledger does not know in their newest state, and lets go of those that have ended; answers
 * how many there were. More may be left.
 */
export async function writeUnwritten(
  env: Env,
  db: Database,
  members: Members,
  state: CampaignState,
): Promise<number> {
  const { id, firmware } = state.definition;
  let wrote = 0;
  for (let batch = 0; batch < MOST; batch += 1) {
    const { members: left, upTo } = members.unwritten(BATCH);
    if (left.length === 0) break;
    await writeMembers(
      db,
      id,
      firmware.version,
      left.map((m) => ({
        ...m,
        group: m.grp,
        status: m.state,
        target_version: m.attempt > 0 && !isFinal(m.state) ? firmware.version : null,
      })),
    );
    // One that has only joined has changed nothing of its device.
    const changed = left.filter(({ revision }) => revision > 1);
    await invalidate(
      env,
      changed.map(({ serial_no }) => cacheKey.device(serial_no)),
    );
    const ended = changed.filter((m) => isFinal(m.state)).map(({ serial_no }) => serial_no);
    if (ended.length > 0) await release(env, id, ended);
    if (state.status === 'paused') await yieldWaiting(env, id, changed);
    members.markWritten(upTo);
    wrote += left.length;
  }
  return wrote;
}

/**
 * Lets others have the devices that are only waiting: while a campaign is paused nobody takes its offers, and a more
 * urgent one must not wait for its end.
 */
export async function yieldWaiting(env: Env, id: string, members: readonly Member[]): Promise<void> {
  const waiting = members.filter(({ state }) => state === 'pending').map(({ serial_no }) => serial_no);
  if (waiting.length > 0) await yieldDevices(env, id, waiting);
}

/** Changes the campaign's row in the ledger, and has the cache forget it. */
export async function writeCampaign(
  env: Env,
  db: Database,
  id: string,
  change: CampaignChange,
): Promise<void> {
  await changeCampaign(db, id, change);
  await invalidate(env, [cacheKey.campaign(id)]);
}

/** Writes the campaign's own row. What changes meanwhile, or a failure, leaves it marked as unwritten. */
export async function writeState(env: Env, db: Database, state: CampaignState): Promise<void> {
  state.unwritten = false;
  try {
    await writeCampaign(env, db, state.definition.id, {
      status: state.status,
      statusReason: state.reason,
      metrics: metricsOf(state),
      startedAt: new Date(state.started_at),
      finishedAt: state.finished_at === null ? null : new Date(state.finished_at),
    });
  } catch (error) {
    state.unwritten = true;
    throw error;
  }
}
