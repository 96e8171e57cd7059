/** Campaigns and their devices, as the ledger has them. The campaign objects write; pages and the API read. */
import { and, desc, eq, getViewSelectedFields, inArray, or, sql } from 'drizzle-orm';
import type {
  Campaign,
  CampaignMetrics,
  CampaignStatus,
  CreateCampaign,
  Page,
  Paging,
  UpdateState,
} from '../protocol/api.ts';
import { CAMPAIGN_STATUSES, campaignPolicy } from '../protocol/api.ts';
import { firmwareTitle, type Named } from '../protocol/target-path.ts';
import { batchRows } from './batch-rows.ts';
import type { Database } from './connection.ts';
import { behind, pageOf, readCursor, timeAndUuidKey } from './page.ts';
import { allCampaigns as all, campaignDevices, campaigns, firmware } from './schema.ts';

export type CampaignRow = typeof campaigns.$inferSelect;
/** A campaign wherever it is kept. */
export type StoredCampaign = CampaignRow & { archived: boolean };

/** What the API shows of a campaign. */
export function campaignOf(row: StoredCampaign, named: Named): Campaign {
  return {
    ...campaignPolicy.parse(row.policy),
    id: row.id,
    name: row.name,
    firmware_id: row.firmwareId,
    firmware_version: named.version,
    firmware: firmwareTitle(named),
    target: row.target,
    status: row.status,
    status_reason: row.statusReason,
    created_by: row.createdBy,
    approved_by: row.approvedBy,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
    started_at: row.startedAt?.toISOString() ?? null,
    finished_at: row.finishedAt?.toISOString() ?? null,
    archived: row.archived,
  };
}

/** A campaign beside its metrics as last written. */
export interface CampaignSummary extends Campaign {
  metrics: CampaignMetrics | null;
}

export interface CampaignFilter {
  status?: CampaignStatus | undefined;
  firmware_id?: string | undefined;
  /** Only those in the archive, or only the others. */
  archived?: boolean | undefined;
}

/** A page of campaigns, newest first. */
export async function listCampaigns(
  db: Database,
  filter: CampaignFilter,
  paging: Paging,
): Promise<Page<CampaignSummary>> {
  const cursor = readCursor(paging.cursor, timeAndUuidKey);
  const rows = await db
    .select({ campaign: getViewSelectedFields(all), firmware })
    .from(all)
    .innerJoin(firmware, eq(firmware.id, all.firmwareId))
    .where(
      and(
        filter.archived === undefined ? undefined : eq(all.archived, filter.archived),
        filter.status === undefined ? undefined : eq(all.status, filter.status),
        filter.firmware_id === undefined ? undefined : eq(all.firmwareId, filter.firmware_id),
        behind(cursor, all.createdAt, all.id),
      ),
    )
    .orderBy(desc(all.createdAt), desc(all.id))
    .limit(paging.limit + 1);
  return pageOf(
    rows,
    paging.limit,
    ({ campaign }) => [campaign.createdAt.toISOString(), campaign.id],
    ({ campaign, firmware: named }) => ({ ...campaignOf(campaign, named), metrics: campaign.metrics }),
  );
}

/** One campaign as the ledger has it, also from the archive, with its firmware. */
export async function findCampaign(
  db: Database,
  id: string,
): Promise<{ row: StoredCampaign; firmware: typeof firmware.$inferSelect } | undefined> {
  const [found] = await db
    .select({ row: getViewSelectedFields(all), firmware })
    .from(all)
    .innerJoin(firmware, eq(firmware.id, all.firmwareId))
    .where(eq(all.id, id))
    .limit(1);
  return found;
}

/** Stores a new draft; with the `id` of one that is there already, answers that one. */
export async function addCampaign(
  db: Database,
  create: Omit<CreateCampaign, 'safe_mode'>,
  actor: string,
  id?: string,
): Promise<CampaignRow> {
  const { name, firmware_id: firmwareId, target, ...policy } = create;
  const [row] = await db
    .insert(campaigns)
    .values({
      ...(id === undefined ? {} : { id }),
      name,
      firmwareId,
      target,
      policy,
      createdBy: actor,
      // The database's own clock is finer than a cursor.
      createdAt: new Date(),
    })
    .onConflictDoUpdate({ target: campaigns.id, set: { name } })
    .returning();
  if (row === undefined) throw new Error('the campaign was not stored');
  return row;
}

/** What may be written of a campaign after it was made. */
export type CampaignChange = Partial<
  Pick<
    CampaignRow,
    | 'name'
    | 'firmwareId'
    | 'target'
    | 'policy'
    | 'approvedBy'
    | 'status'
    | 'statusReason'
    | 'metrics'
    | 'startedAt'
    | 'finishedAt'
  >
>;

export async function changeCampaign(db: Database, id: string, change: CampaignChange): Promise<void> {
  await db
    .update(campaigns)
    .set({ ...change, updatedAt: new Date() })
    .where(eq(campaigns.id, id));
}

/** One member of a campaign, as the campaign object writes it. */
export interface MemberWrite {
  serial_no: string;
  device_id: string;
  stage: number;
  status: UpdateState;
  attempt: number;
  from_version: string | null;
  group: string | null;
  error: string | null;
  detail: string | null;
  offered_at: number | null;
  downloading_at: number | null;
  installing_at: number | null;
  rebooting_at: number | null;
  /** The tries before, in JSON. */
  earlier: string | null;
  started_at: number | null;
  finished_at: number | null;
  updated_at: number;
  revision: number;
  /** The version the device is being taken to; null when no update is in flight any more. */
  target_version: string | null;
}

/**
 * Writes members in bulk, and on the devices the version they are being taken to. A row already there in a newer
 * revision stays, so writes may be repeated and may arrive late. Times are Unix milliseconds.
 */
export async function writeMembers(
  db: Database,
  campaignId: string,
  toVersion: string,
  members: readonly MemberWrite[],
): Promise<void> {
  if (members.length === 0) return;
  const sorted = [...members].sort((a, b) => (a.serial_no < b.serial_no ? -1 : 1));
  const column = <Value>(pick: (member: MemberWrite) => Value) => sql.param(sorted.map(pick));
  const time = (pick: (member: MemberWrite) => number | null) =>
    column((m) => {
      const at = pick(m);
      return at === null ? null : new Date(at).toISOString();
    });
  const insert = db.execute(sql`
    INSERT INTO campaign_devices AS m (campaign_id, to_version, serial_no, device_id, stage, status, attempt,
      from_version, group_name, error, error_message, offered_at, downloading_at, installing_at, rebooting_at,
      started_at, completed_at, updated_at, revision, earlier_tries)
    SELECT ${campaignId}::uuid, ${toVersion}::text, r.*
    FROM unnest(${column((m) => m.serial_no)}::text[], ${column((m) => m.device_id)}::uuid[],
      ${column((m) => m.stage)}::smallint[], ${column((m) => m.status)}::update_state[],
      ${column((m) => m.attempt)}::smallint[], ${column((m) => m.from_version)}::text[],
      ${column((m) => m.group)}::text[], ${column((m) => m.error)}::text[], ${column((m) => m.detail)}::text[],
      ${time((m) => m.offered_at)}::timestamptz[], ${time((m) => m.downloading_at)}::timestamptz[],
      ${time((m) => m.installing_at)}::timestamptz[], ${time((m) => m.rebooting_at)}::timestamptz[],
      ${time((m) => m.started_at)}::timestamptz[], ${time((m) => m.finished_at)}::timestamptz[],
      ${time((m) => m.updated_at)}::timestamptz[], ${column((m) => m.revision)}::bigint[],
      ${column((m) => m.earlier)}::jsonb[]) AS r
    ON CONFLICT (campaign_id, serial_no) DO UPDATE SET
      device_id = excluded.device_id, stage = excluded.stage, status = excluded.status,
      attempt = excluded.attempt, from_version = excluded.from_version, group_name = excluded.group_name,
      error = excluded.error, error_message = excluded.error_message, offered_at = excluded.offered_at,
      downloading_at = excluded.downloading_at, installing_at = excluded.installing_at,
      rebooting_at = excluded.rebooting_at, earlier_tries = excluded.earlier_tries,
      started_at = excluded.started_at, completed_at = excluded.completed_at, updated_at = excluded.updated_at,
      revision = excluded.revision
    WHERE m.revision < excluded.revision`);
  const targets = db.execute(sql`
    UPDATE devices d SET target_version = r.version, updated_at = now(),
      status = (CASE WHEN d.status = 'offline' THEN 'offline' WHEN r.version IS NULL THEN 'online'
                     ELSE 'updating' END)::device_status
    FROM ${batchRows([
      ['text', sorted.map((m) => m.serial_no)],
      ['text', sorted.map((m) => m.target_version)],
    ])} AS r(serial_no, version)
    WHERE d.serial_no = r.serial_no AND d.target_version IS DISTINCT FROM r.version
      AND (r.version IS NOT NULL OR d.target_version = ${toVersion})`);
  await db.batch([insert, targets]);
}

/** How many campaigns there are of each status, with those in the archive. */
export async function countCampaigns(db: Database): Promise<Record<CampaignStatus, number>> {
  const rows = await db
    .select({ status: all.status, count: sql<number>`count(*)::int` })
    .from(all)
    .groupBy(all.status);
  const counts = Object.fromEntries(CAMPAIGN_STATUSES.map((status) => [status, 0])) as Record<
    CampaignStatus,
    number
  >;
  for (const { status, count } of rows) counts[status] = count;
  return counts;
}

/** The campaigns with this firmware that run or are to start by themselves. */
export async function listOpenCampaigns(
  db: Database,
  firmwareId: string,
): Promise<Pick<CampaignRow, 'id' | 'status'>[]> {
  return db
    .select({ id: campaigns.id, status: campaigns.status })
    .from(campaigns)
    .where(and(eq(campaigns.firmwareId, firmwareId), inArray(campaigns.status, ['scheduled', 'active'])));
}

/**
 * The campaigns that have this device among those that have not ended, newest first: those that run, and those it is
 * under way in although they stand still or have ended.
 */
export async function findRunningCampaigns(db: Database, serialNo: string): Promise<string[]> {
  const rows = await db
    .select({ id: campaigns.id })
    .from(campaignDevices)
    .innerJoin(campaigns, eq(campaigns.id, campaignDevices.campaignId))
    .where(
      and(
        eq(campaignDevices.serialNo, serialNo),
        or(
          and(eq(campaigns.status, 'active'), inArray(campaignDevices.status, ['pending', 'offered'])),
          inArray(campaignDevices.status, ['downloading', 'installing', 'rebooting']),
        ),
      ),
    )
    .orderBy(desc(campaigns.createdAt));
  return rows.map((row) => row.id);
}
