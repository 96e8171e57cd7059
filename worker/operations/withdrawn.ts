/** What withdrawn firmware means for its campaigns, and damaged firmware for those who would install it. */
import type { CampaignRow } from '../../store/campaigns.ts';
import { type FirmwareRow, findFirmware, stopReason } from '../../store/firmware.ts';
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

/** Between looking and resuming, the firmware may have been withdrawn, or found damaged, while the campaign was paused. */
export async function pauseIfStopped(c: AppContext, row: CampaignRow): Promise<void> {
  const firmware = await findFirmware(c.var.db, row.firmwareId);
  if (firmware === undefined) return;
  const reason = stopReason(firmware);
  if (reason === undefined) return;
  await c.env.CAMPAIGN.getByName(row.id).pause(reason);
  mustBeInstallable(firmware);
}
