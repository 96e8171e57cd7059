/** Devices' parts in campaigns, as the ledger and the archive have them: lists, and one from its beginning. */
import { and, asc, desc, eq, getViewSelectedFields, gt, sql } from 'drizzle-orm';
import type { DeviceUpdate, Page, Paging, UpdateState } from '../protocol/api.ts';
import { timelineOf, type UpdateStep, type UpdateTimeline } from '../protocol/update-timeline.ts';
import type { Database } from './connection.ts';
import { UUID } from './devices.ts';
import { behind, nameKey, pageOf, readCursor, timeAndUuidKey } from './page.ts';
import { allCampaigns as campaigns, allCampaignDevices as updates } from './schema.ts';

type UpdateRow = typeof updates.$inferSelect;

/** Beside a campaign, which has an `archived` too. */
const columns = { ...getViewSelectedFields(updates), archived: sql<boolean>`${updates}."archived"` };

function updateOf(row: UpdateRow, campaignName?: string): DeviceUpdate {
  return {
    campaign_id: row.campaignId,
    ...(campaignName === undefined ? {} : { campaign_name: campaignName }),
    device_id: row.deviceId,
    serial_no: row.serialNo,
    status: row.status,
    stage: row.stage,
    attempt: row.attempt,
    from_version: row.fromVersion,
    to_version: row.toVersion,
    progress: null,
    error: row.error,
    detail: row.detail,
    started_at: row.startedAt?.toISOString() ?? null,
    finished_at: row.completedAt?.toISOString() ?? null,
    updated_at: row.updatedAt.toISOString(),
    archived: row.archived,
  };
}

/** A page of a campaign's devices in the order of their serial numbers, from the ledger. */
export async function listCampaignDevices(
  db: Database,
  campaignId: string,
  filter: { status?: UpdateState | undefined; error?: string | undefined },
  paging: Paging,
): Promise<Page<DeviceUpdate>> {
  const after = readCursor(paging.cursor, nameKey)?.[0];
  const rows = await db
    .select()
    .from(updates)
    .where(
      and(
        eq(updates.campaignId, campaignId),
        filter.status === undefined ? undefined : eq(updates.status, filter.status),
        filter.error === undefined ? undefined : eq(updates.error, filter.error),
        after === undefined ? undefined : gt(updates.serialNo, after),
      ),
    )
    .orderBy(asc(updates.serialNo))
    .limit(paging.limit + 1);
  return pageOf(
    rows,
    paging.limit,
    (row) => [row.serialNo],
    (row) => updateOf(row),
  );
}

/** A page of one device's updates over all campaigns, latest first. */
export async function listDeviceUpdates(
  db: Database,
  deviceId: string,
  paging: Paging,
): Promise<Page<DeviceUpdate>> {
  const cursor = readCursor(paging.cursor, timeAndUuidKey);
  const rows = await db
    .select({ update: columns, name: campaigns.name })
    .from(updates)
    .innerJoin(campaigns, eq(campaigns.id, updates.campaignId))
    .where(and(eq(updates.deviceId, deviceId), behind(cursor, updates.updatedAt, updates.campaignId)))
    .orderBy(desc(updates.updatedAt), desc(updates.campaignId))
    .limit(paging.limit + 1);
  return pageOf(
    rows,
    paging.limit,
    ({ update }) => [update.updatedAt.toISOString(), update.campaignId],
    ({ update, name }) => updateOf(update, name),
  );
}

/** One device's part in one campaign, step by step; `undefined` where it has none. `device`: its UUID or serial number. */
export async function findTimeline(
  db: Database,
  campaignId: string,
  device: string,
): Promise<UpdateTimeline | undefined> {
  const isDevice = UUID.test(device) ? eq(updates.deviceId, device) : eq(updates.serialNo, device);
  const [found] = await db
    .select({ update: columns, name: campaigns.name })
    .from(updates)
    .innerJoin(campaigns, eq(campaigns.id, updates.campaignId))
    .where(and(eq(updates.campaignId, campaignId), isDevice))
    .limit(1);
  if (found === undefined) return undefined;
  const { update: row, name } = found;
  const time = (at: Date | null) => at?.getTime() ?? null;
  const steps = timelineOf(row.earlier ?? [], {
    attempt: row.attempt,
    status: row.status,
    offered_at: time(row.offeredAt),
    downloading_at: time(row.downloadingAt),
    installing_at: time(row.installingAt),
    rebooting_at: time(row.rebootingAt),
    ended_at: time(row.completedAt),
    error: row.error,
    detail: row.detail,
  });
  return { ...updateOf(row, name), group: row.group, duration_s: durationOf(steps, row.completedAt), steps };
}

/** From the first step to the end. */
function durationOf(steps: readonly UpdateStep[], end: Date | null): number | null {
  const [first] = steps;
  return first === undefined || end === null ? null : (end.getTime() - new Date(first.at).getTime()) / 1000;
}
