/** A campaign object's way to the ledger: its members and its own row, in bulk, as often as it takes. */
import { changeCampaign, writeMembers } from '../../store/campaigns.ts';
import type { Database } from '../../store/connection.ts';
import type { CampaignState } from './definition.ts';
import { isFinal } from './member.ts';
import type { Members } from './members.ts';
import { metricsOf } from './metrics.ts';

const BATCH = 1000;

/** Writes every member the ledger does not know in its newest state; answers whether there were any. */
export async function writeUnwritten(db: Database, members: Members, state: CampaignState): Promise<boolean> {
  const { id, firmware } = state.definition;
  let wrote = false;
  for (let left = members.unwritten(BATCH); left.length > 0; left = members.unwritten(BATCH)) {
    await writeMembers(
      db,
      id,
      firmware.version,
      left.map((m) => ({
        ...m,
        status: m.state,
        target_version: m.attempt > 0 && !isFinal(m.state) ? firmware.version : null,
      })),
    );
    members.markWritten(left);
    wrote = true;
  }
  return wrote;
}

/** Writes the campaign's own row. What changes meanwhile, or a failure, leaves it marked as unwritten. */
export async function writeState(db: Database, state: CampaignState): Promise<void> {
  state.unwritten = false;
  try {
    await changeCampaign(db, state.definition.id, {
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
