/** Finding what a path names, or the 404 that says what is missing. */

import type { UpdateTimeline } from '../../protocol/update-timeline.ts';
import { findCampaign, type StoredCampaign } from '../../store/campaigns.ts';
import { type DeviceRow, findDevice } from '../../store/devices.ts';
import { type FirmwareRow, findFirmware } from '../../store/firmware.ts';
import { findTimeline } from '../../store/updates.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** By UUID or serial number. Throws a 404. */
export async function theDevice(c: AppContext, id: string): Promise<DeviceRow> {
  const device = await findDevice(c.var.db, id);
  if (device === undefined)
    throw new ProblemError(404, 'No such device', 'No device has this ID or serial number.');
  return device;
}

/** Throws a 404. */
export async function theFirmware(c: AppContext, id: string): Promise<FirmwareRow> {
  const firmware = UUID.test(id) ? await findFirmware(c.var.db, id) : undefined;
  if (firmware === undefined) throw new ProblemError(404, 'No such firmware', 'No firmware has this ID.');
  return firmware;
}

/** The campaign beside its firmware, also from the archive. Throws a 404. */
export async function theCampaign(
  c: AppContext,
  id: string,
): Promise<{ row: StoredCampaign; firmware: FirmwareRow }> {
  const campaign = UUID.test(id) ? await findCampaign(c.var.db, id) : undefined;
  if (campaign === undefined) throw new ProblemError(404, 'No such campaign', 'No campaign has this ID.');
  return campaign;
}

/** One device's part in a campaign, by its UUID or serial number. Throws a 404. */
export async function theTimeline(c: AppContext, id: string, device: string): Promise<UpdateTimeline> {
  const { row } = await theCampaign(c, id);
  const timeline = await findTimeline(c.var.db, row.id, device);
  if (timeline === undefined) {
    throw new ProblemError(404, 'No such member', 'This campaign has no device of this ID or serial number.');
  }
  return timeline;
}
