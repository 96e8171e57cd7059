/** What withdrawn firmware means for its campaigns, and damaged firmware for those who would install it. */
import { writeCampaign } from '../../durable-objects/campaign/ledger.ts';
import { type CampaignRow, listOpenCampaigns } from '../../store/campaigns.ts';
import { type FirmwareRow, findFirmware, withdrawnReason } from '../../store/firmware.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';

/** Throws where firmware was withdrawn, or its bytes are damaged. */
export function mustBeInstallable(row: FirmwareRow): void {
  mustBeWhole(row);
  const { state, withdrawnReason } = row;
  if (state !== 'withdrawn') return;
  throw new ProblemError(
    409,
    'Firmware withdrawn',
    `No device may be offered it any more: ${withdrawnReason ?? 'it was withdrawn'}.`,
  );
}

/** Throws where the stored bytes are not what they were. */
export function mustBeWhole({ damage }: FirmwareRow): void {
  if (damage === null) return;
  throw new ProblemError(409, 'Firmware damaged', `Upload the same bytes again: those here, ${damage}.`);
}

/** Between looking and resuming, somebody may have withdrawn the firmware and found the campaign paused. */
export async function pauseIfWithdrawn(c: AppContext, row: CampaignRow): Promise<void> {
  const firmware = await findFirmware(c.var.db, row.firmwareId);
  if (firmware?.state !== 'withdrawn') return;
  await c.env.CAMPAIGN.getByName(row.id).pause(withdrawnReason(firmware));
  mustBeInstallable(firmware);
}

/** Pauses what runs with withdrawn firmware, and makes drafts again of what was to start; answers their IDs. */
export async function pauseCampaignsOf(c: AppContext, firmware: FirmwareRow): Promise<string[]> {
  const ids: string[] = [];
  for (const { id, status } of await listOpenCampaigns(c.var.db, firmware.id)) {
    const campaign = c.env.CAMPAIGN.getByName(id);
    if (status === 'scheduled') await campaign.unschedule();
    // The object knows better than the ledger: one that was scheduled a moment ago may run by now.
    if ((await campaign.look()) !== null) await campaign.pause(withdrawnReason(firmware));
    else if (status === 'scheduled') {
      const change = { status: 'draft', statusReason: withdrawnReason(firmware) } as const;
      await writeCampaign(c.env, c.var.db, id, change);
    }
    ids.push(id);
  }
  return ids;
}
