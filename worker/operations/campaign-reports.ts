/** Reports on campaigns, for the API and the pages alike. */
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
