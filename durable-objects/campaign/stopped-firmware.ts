/** What becomes of the campaigns of firmware that no device may be offered any more, or for now. */
import { listOpenCampaigns } from '../../store/campaigns.ts';
import type { Database } from '../../store/connection.ts';
import { type FirmwareRow, stopReason } from '../../store/firmware.ts';
import type { Env } from '../env.ts';
import { writeCampaign } from './ledger.ts';

/**
 * Pauses what runs with firmware that was withdrawn, or is damaged; what was to start with withdrawn firmware becomes a
 * draft again, while damaged firmware may be mended by then. Answers the IDs of all of them.
 */
export async function stopCampaignsOf(env: Env, db: Database, firmware: FirmwareRow): Promise<string[]> {
  const reason = stopReason(firmware);
  if (reason === undefined) return [];
  const ids: string[] = [];
  for (const { id, status } of await listOpenCampaigns(db, firmware.id)) {
    const campaign = env.CAMPAIGN.getByName(id);
    const isToStart = status === 'scheduled';
    if (isToStart && firmware.state === 'withdrawn') await campaign.unschedule();
    // The object knows better than the ledger: one that was scheduled a moment ago may run by now.
    if ((await campaign.look()) !== null) await campaign.pause(reason);
    else if (!isToStart || firmware.state !== 'withdrawn') continue;
    else await writeCampaign(env, db, id, { status: 'draft', statusReason: reason });
    ids.push(id);
  }
  return ids;
}
