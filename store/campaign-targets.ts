/** Which devices a campaign is for. */
import { and, asc, eq, gt, isNull, notExists, type SQL, sql } from 'drizzle-orm';
import type { CampaignTarget } from '../protocol/api.ts';
import { inRange, parseVersionRange, spellings } from '../protocol/version.ts';
import type { Database } from './connection.ts';
import type { FirmwareRow } from './firmware.ts';
import { groupsCondition } from './groups.ts';
import { campaignDevices, devices } from './schema.ts';

export interface TargetDevice {
  id: string;
  serial_no: string;
  model: string;
  current_firmware: string | null;
  target_version: string | null;
  apps: Record<string, string> | null;
  group: string | null;
  revoked: boolean;
  /** Out of service for good. */
  decommissioned: boolean;
  approved: boolean;
  /** What it is reached through, and its own time zone, as its metadata has them. */
  gateway: string | null;
  time_zone: string | null;
}

const PAGE = 5_000;

/** A page of a target's devices, and the last serial number that was looked at for it. */
export interface TargetPage {
  devices: TargetDevice[];
  last: string | undefined;
}

/**
 * The devices of the firmware's model that match the target, in pages in the order of their serial numbers, behind
 * `start`; where the target names its devices, those of other models or out of service, too: they take no part, and are told why. Version ranges are judged here and not in SQL: the order of versions is `protocol/version.ts`.
 */
export async function* targetDevices(
  db: Database,
  firmwareModel: string,
  target: CampaignTarget,
  start?: string,
): AsyncGenerator<TargetPage> {
  if (target.model !== undefined && target.model !== firmwareModel) return;
  const inGroups = await groupsCondition(db, target.groups ?? []);
  const range = target.fw_version === undefined ? undefined : parseVersionRange(target.fw_version);
  for (let after = start, more = true; more; ) {
    const rows: TargetDevice[] = await db
      .select({
        id: devices.id,
        serial_no: devices.serialNo,
        model: devices.model,
        current_firmware: devices.currentFirmware,
        target_version: devices.targetVersion,
        apps: devices.apps,
        group: devices.group,
        revoked: sql<boolean>`${devices.revokedAt} IS NOT NULL`,
        decommissioned: sql<boolean>`${devices.decommissionedAt} IS NOT NULL`,
        approved: devices.approved,
        gateway: sql<string | null>`${devices.metadata} ->> 'gateway'`,
        time_zone: sql<string | null>`${devices.metadata} ->> 'time_zone'`,
      })
      .from(devices)
      .where(
        and(
          ...conditions(firmwareModel, target),
          inGroups,
          after === undefined ? undefined : gt(devices.serialNo, after),
        ),
      )
      .orderBy(asc(devices.serialNo))
      .limit(PAGE);
    more = rows.length === PAGE;
    after = rows.at(-1)?.serial_no ?? after;
    const matching =
      range === undefined
        ? rows
        : rows.filter((d) => d.current_firmware !== null && inRange(d.current_firmware, range));
    yield { devices: matching, last: after };
  }
}

/**
 * Serial numbers of devices to compare a campaign's with: of the same model, not in it, without what it brings, and
 * heard of since.
 */
export async function comparableDevices(
  db: Database,
  campaignId: string,
  { kind, model, version }: Pick<FirmwareRow, 'kind' | 'model' | 'version'>,
  heardSince: Date,
  limit: number,
): Promise<string[]> {
  const members = db
    .select({ one: sql`1` })
    .from(campaignDevices)
    .where(and(eq(campaignDevices.campaignId, campaignId), eq(campaignDevices.serialNo, devices.serialNo)));
  const rows = await db
    .select({ serial_no: devices.serialNo })
    .from(devices)
    .where(
      and(
        eq(devices.model, model),
        isNull(devices.decommissionedAt),
        gt(devices.lastSeen, heardSince),
        kind === 'firmware'
          ? sql`(${devices.currentFirmware} = ANY(${sql.param(spellings(version))}::text[])) IS NOT TRUE`
          : undefined,
        notExists(members),
      ),
    )
    .limit(limit);
  return rows.map(({ serial_no }) => serial_no);
}

/** What these devices run, as the ledger has it, by serial number. */
export async function firmwareOf(
  db: Database,
  serialNos: readonly string[],
): Promise<Map<string, string | null>> {
  const rows = await db
    .select({ serial_no: devices.serialNo, version: devices.currentFirmware })
    .from(devices)
    .where(sql`${devices.serialNo} = ANY(${sql.param(serialNos)}::text[])`);
  return new Map(rows.map(({ serial_no, version }) => [serial_no, version]));
}

/** Those of these members that another campaign has updated, or is updating, since they completed this one. */
export async function takenElsewhere(
  db: Database,
  campaignId: string,
  serialNos: readonly string[],
): Promise<Set<string>> {
  if (serialNos.length === 0) return new Set();
  const { rows } = await db.execute(sql`
    SELECT DISTINCT other.serial_no FROM campaign_devices other
    JOIN campaign_devices own ON own.campaign_id = ${campaignId} AND own.serial_no = other.serial_no
    WHERE other.serial_no = ANY(${sql.param([...serialNos])}::text[]) AND other.campaign_id <> ${campaignId}
      AND other.status IN ('offered', 'downloading', 'installing', 'rebooting', 'completed')
      AND other.updated_at > own.completed_at`);
  return new Set(rows.map((row) => String(row.serial_no)));
}

function conditions(model: string, target: CampaignTarget): (SQL | undefined)[] {
  const { tags = [], serial_nos: serialNos = [] } = target;
  return [
    serialNos.length === 0 ? eq(devices.model, model) : undefined,
    serialNos.length === 0 ? isNull(devices.decommissionedAt) : undefined,
    tags.length === 0 ? undefined : sql`${devices.tags} && ${sql.param(tags)}::text[]`,
    serialNos.length === 0 ? undefined : sql`${devices.serialNo} = ANY(${sql.param(serialNos)}::text[])`,
  ];
}
