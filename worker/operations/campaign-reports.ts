/** Reports on campaigns, for the API and the pages alike. */
import type { DeviceUpdate } from '../../protocol/api.ts';
import { type ErrorReport, errorReport, errorReportOf } from '../../protocol/error-report.ts';
import { cacheKey, TTL_S } from '../../store/cache.ts';
import { tallyErrors } from '../../store/error-report.ts';
import type { AppContext } from '../context.ts';
import type { CampaignAndFirmware } from './campaigns.ts';

/** Why its updates failed. At most {@link TTL_S} old: it counts every device. */
export async function campaignErrors(
  c: AppContext,
  { row, firmware }: CampaignAndFirmware,
): Promise<ErrorReport> {
  return c.var.cache.read(cacheKey.errors(row.id), errorReport, TTL_S.errors, async () =>
    errorReportOf(await tallyErrors(c.var.db, row.id), firmware.model, row.archived),
  );
}

/** The updates with how far their downloads are, which only the campaign's object knows. */
export async function withProgress<Update extends DeviceUpdate>(
  c: AppContext,
  id: string,
  updates: readonly Update[],
): Promise<Update[]> {
  const loading = updates.filter(({ status }) => status === 'downloading').map(({ serial_no }) => serial_no);
  if (loading.length === 0) return [...updates];
  const progress = await c.env.CAMPAIGN.getByName(id).progressOf(loading);
  return updates.map((update) => ({ ...update, progress: progress[update.serial_no] ?? null }));
}
