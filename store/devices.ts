/** Devices: the fleet's ledger. Bulk writes change only rows that differ, so an unchanged device costs no WAL. */
import {
  and,
  arrayOverlaps,
  asc,
  eq,
  gt,
  gte,
  inArray,
  isNotNull,
  isNull,
  lt,
  or,
  type SQL,
  sql,
} from 'drizzle-orm';
import type { ChangeDevice, Device, DeviceStatus, Page, Paging, RegisterDevice } from '../protocol/api.ts';
import { serialNo } from '../protocol/identifiers.ts';
import { batchRows } from './batch-rows.ts';
import type { Database } from './connection.ts';
import { noteConnection } from './device-events.ts';
import { groupsCondition } from './groups.ts';
import { nameKey, pageOf, readCursor } from './page.ts';
import { devices } from './schema.ts';

/** Rows of one bulk statement. */
const BULK = 1000;

export type DeviceRow = typeof devices.$inferSelect;

/** What the API shows of a device; its `last_seen` is the ledger's coarse one. */
export function deviceOf(row: DeviceRow): Device {
  return {
    id: row.id,
    serial_no: row.serialNo,
    model: row.model,
    current_firmware: row.currentFirmware,
    target_version: row.targetVersion,
    status: row.status,
    last_seen: row.lastSeen?.toISOString() ?? null,
    group: row.group,
    tags: row.tags,
    metadata: row.metadata,
    state: row.powerState,
    battery: row.battery,
    temperature: row.temperature,
    apps: row.apps ?? {},
    approved: row.approved,
    revoked: row.revokedAt !== null,
    decommissioned: row.decommissionedAt !== null,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  };
}

export interface DeviceFilter {
  model?: string | undefined;
  status?: DeviceStatus | undefined;
  firmware?: string | undefined;
  group?: string | undefined;
  tag?: string | undefined;
  /** A serial number's beginning. */
  q?: string | undefined;
  approved?: boolean | undefined;
  /** Those out of service, and only them; otherwise they are left out. */
  decommissioned?: boolean | undefined;
}

/** A page of devices in the order of their serial numbers (by bytes). */
export async function listDevices(db: Database, filter: DeviceFilter, paging: Paging): Promise<Page<Device>> {
  const after = readCursor(paging.cursor, nameKey)?.[0];
  const inGroup = filter.group === undefined ? undefined : await groupsCondition(db, [filter.group]);
  const rows = await db
    .select()
    .from(devices)
    .where(and(...matching(filter), inGroup, after === undefined ? undefined : gt(devices.serialNo, after)))
    .orderBy(asc(devices.serialNo))
    .limit(paging.limit + 1);
  return pageOf(rows, paging.limit, (row) => [row.serialNo], deviceOf);
}

function matching(filter: DeviceFilter): (SQL | undefined)[] {
  return [
    filter.model === undefined ? undefined : eq(devices.model, filter.model),
    filter.status === undefined ? undefined : eq(devices.status, filter.status),
    filter.firmware === undefined ? undefined : eq(devices.currentFirmware, filter.firmware),
    filter.tag === undefined ? undefined : arrayOverlaps(devices.tags, [filter.tag]),
    filter.q === undefined || filter.q === ''
      ? undefined
      : and(gte(devices.serialNo, filter.q), lt(devices.serialNo, `${filter.q}\u{10ffff}`)),
    filter.approved === undefined ? undefined : eq(devices.approved, filter.approved),
    filter.decommissioned === true ? isNotNull(devices.decommissionedAt) : isNull(devices.decommissionedAt),
  ];
}

/** What a UUID looks like; a serial number may look so too. */
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The device with this UUID, or else this serial number. */
export async function findDevice(db: Database, idOrSerial: string): Promise<DeviceRow | undefined> {
  if (!serialNo.safeParse(idOrSerial).success) return undefined;
  const key = UUID.test(idOrSerial)
    ? or(eq(devices.id, idOrSerial), eq(devices.serialNo, idOrSerial))
    : eq(devices.serialNo, idOrSerial);
  const rows = await db.select().from(devices).where(key).limit(2);
  return rows.find(({ id }) => id === idOrSerial.toLowerCase()) ?? rows[0];
}

/** The device with this serial number, whatever else it may look like. */
export async function findDeviceBySerial(db: Database, serial: string): Promise<DeviceRow | undefined> {
  const [row] = await db.select().from(devices).where(eq(devices.serialNo, serial)).limit(1);
  return row;
}

/** Registers a device; `undefined` where the serial number is taken. */
export async function registerDevice(db: Database, device: RegisterDevice): Promise<DeviceRow | undefined> {
  const [row] = await db
    .insert(devices)
    .values({
      serialNo: device.serial_no,
      model: device.model,
      group: device.group ?? null,
      tags: device.tags ?? [],
      metadata: device.metadata ?? {},
    })
    .onConflictDoNothing()
    .returning();
  return row;
}

/** Changes what people say about a device; what it leaves out stays. */
export async function changeDevice(
  db: Database,
  id: string,
  change: ChangeDevice,
): Promise<DeviceRow | undefined> {
  const [row] = await db
    .update(devices)
    .set({
      ...(change.group === undefined ? {} : { group: change.group }),
      ...(change.tags === undefined ? {} : { tags: change.tags }),
      ...(change.metadata === undefined ? {} : { metadata: change.metadata }),
      updatedAt: new Date(),
    })
    .where(eq(devices.id, id))
    .returning();
  return row;
}

/** Deletes a device with its certificates, tokens and settings. Its past updates stay in the ledger. */
export async function deleteDevice(db: Database, id: string): Promise<void> {
  await db.delete(devices).where(eq(devices.id, id));
}

/** Takes a device out of service for good; again changes nothing. */
export async function decommissionDevice(db: Database, id: string): Promise<void> {
  await db
    .update(devices)
    .set({ decommissionedAt: new Date(), status: 'offline', targetVersion: null, updatedAt: new Date() })
    .where(and(eq(devices.id, id), isNull(devices.decommissionedAt)));
}

/** A device that waited may take part. */
export async function approveDevice(db: Database, id: string): Promise<void> {
  await db.update(devices).set({ approved: true, updatedAt: new Date() }).where(eq(devices.id, id));
}

/**
 * Adds and removes tags; answers the serial numbers that exist. Tags stay in their order, each once. Where a device
 * would come to have more than `most` of them, none is changed.
 */
export async function tagDevices(
  db: Database,
  wanted: { serial_nos: readonly string[]; add: readonly string[]; remove: readonly string[]; most: number },
): Promise<string[]> {
  const { serial_nos, add, remove, most } = wanted;
  const { rows } = await db.execute(sql`
    WITH wanted AS (
      SELECT id, ARRAY(
        SELECT tag FROM unnest(tags || ${sql.param([...add])}::text[]) WITH ORDINALITY AS t(tag, n)
        WHERE tag <> ALL(${sql.param([...remove])}::text[]) GROUP BY tag ORDER BY min(n)) AS tags, cardinality(tags) AS before
      FROM devices WHERE serial_no = ANY(${sql.param([...serial_nos])}::text[]) FOR UPDATE)
    UPDATE devices d SET updated_at = now(), tags = wanted.tags FROM wanted
    WHERE d.id = wanted.id AND NOT EXISTS (SELECT FROM wanted WHERE cardinality(tags) > GREATEST(before, ${most}::int))
    RETURNING serial_no`);
  return rows.map((row) => String(row.serial_no));
}

/** Marks a device as revoked; again changes nothing. */
export async function revokeDevice(db: Database, id: string): Promise<void> {
  await db
    .update(devices)
    .set({ revokedAt: new Date(), updatedAt: new Date() })
    .where(and(eq(devices.id, id), isNull(devices.revokedAt)));
}

/** The devices with these serial numbers that exist. */
export async function findDevices(db: Database, serialNos: readonly string[]): Promise<DeviceRow[]> {
  if (serialNos.length === 0) return [];
  return db
    .select()
    .from(devices)
    .where(inArray(devices.serialNo, [...serialNos]));
}

/** One device as it was last heard, for the ledger. */
export interface DeviceReport {
  serial_no: string;
  model: string;
  current_firmware: string;
  status: 'online' | 'offline';
  last_seen: Date;
  group?: string | undefined;
  state?: string | undefined;
  battery?: number | undefined;
  temperature?: number | undefined;
  apps?: Record<string, string> | undefined;
  /** It was offline until now, as far as is known: its timeline says when it came back. */
  back?: boolean;
}

/** What of a row a report does not say itself: a whole row costs as much to answer as to write. */
const reported = {
  id: devices.id,
  serialNo: devices.serialNo,
  status: devices.status,
  group: devices.group,
  revokedAt: devices.revokedAt,
  decommissionedAt: devices.decommissionedAt,
};
export type ReportedDevice = Pick<DeviceRow, keyof typeof reported>;

/** What the API shows otherwise of a device ({@link deviceOf}) once a report of it was recorded at `at`. */
export function changedBy(
  report: DeviceReport,
  { status, group }: ReportedDevice,
  at: Date,
): Partial<Device> {
  const { model, current_firmware, last_seen, state, battery, temperature, apps } = report;
  const readings = { state, battery, temperature, apps };
  return {
    model,
    current_firmware,
    status,
    group,
    last_seen: last_seen.toISOString(),
    updated_at: at.toISOString(),
    ...Object.fromEntries(Object.entries(readings).filter(([, said]) => said !== undefined)),
  };
}

/**
 * Writes what devices said of themselves at `at`, inserting those unknown so far, and answers what came of each. An
 * update in flight shows as `updating`. Those inserted are `approved`, or wait for it. One statement where all are
 * known, four otherwise. Sorted by serial number so that concurrent batches cannot deadlock.
 */
export async function recordReports(
  db: Database,
  reports: readonly DeviceReport[],
  { approved, at }: { approved: boolean; at: Date },
): Promise<ReportedDevice[]> {
  if (reports.length === 0) return [];
  const sorted = [...reports].sort((a, b) => (a.serial_no < b.serial_no ? -1 : 1));
  const back = sorted.filter((report) => report.back === true);
  const known =
    back.length === 0
      ? await updateReported(db, sorted, at)
      : (await db.batch([noteBack(db, back), updateReported(db, sorted, at)]))[1];
  if (known.length === sorted.length) return known;
  const met = new Set(known.map((row) => row.serialNo));
  const unknown = sorted.filter(({ serial_no }) => !met.has(serial_no));
  const [, fresh] = await db.batch([insertReported(db, unknown, approved), updateReported(db, unknown, at)]);
  return [...known, ...fresh];
}

/** Before their rows say it: devices that were offline until now. */
const noteBack = (db: Database, back: readonly DeviceReport[]) =>
  db.execute(sql`
    WITH back AS (SELECT d.id, r.last_seen FROM ${seenRows(back.map(({ serial_no, last_seen }) => ({ serial_no, last_seen: last_seen.getTime() })))}
                  JOIN devices d ON d.serial_no = r.serial_no WHERE d.status = 'offline')
    ${noteConnection('online', sql`back`, sql`last_seen`)}`);

const updateReported = (db: Database, reports: readonly DeviceReport[], at: Date) =>
  db
    .update(devices)
    .set({
      model: sql`r.model`,
      currentFirmware: sql`r.firmware`,
      lastSeen: sql`GREATEST(${devices.lastSeen}, r.last_seen)`,
      status: sql`CASE WHEN r.status = 'online' AND ${devices.targetVersion} IS NOT NULL THEN 'updating' ELSE r.status END`,
      group: sql`COALESCE(${devices.group}, r.group_name)`,
      powerState: sql`COALESCE(r.state, ${devices.powerState})`,
      battery: sql`COALESCE(r.battery, ${devices.battery})`,
      temperature: sql`COALESCE(r.temperature, ${devices.temperature})`,
      apps: sql`COALESCE(r.apps, ${devices.apps})`,
      updatedAt: at,
    })
    .from(reportedRows(reports))
    .where(sql`${devices.serialNo} = r.serial_no`)
    .returning(reported);

const insertReported = (db: Database, reports: readonly DeviceReport[], approved: boolean) =>
  db.execute(sql`
    INSERT INTO devices (serial_no, model, current_firmware, status, last_seen, group_name, approved)
    SELECT r.serial_no, r.model, r.firmware, r.status, r.last_seen, r.group_name, ${approved}
    FROM ${reportedRows(reports)} ON CONFLICT (serial_no) DO NOTHING`);

function reportedRows(reports: readonly DeviceReport[]): SQL {
  const column = <Value>(type: string, pick: (report: DeviceReport) => Value) =>
    [type, reports.map(pick)] as const;
  return sql`${batchRows([
    column('text', (r) => r.serial_no),
    column('text', (r) => r.model),
    column('text', (r) => r.current_firmware),
    column('device_status', (r) => r.status),
    column('timestamptz', (r) => r.last_seen.toISOString()),
    column('text', (r) => r.group || null),
    column('text', (r) => r.state ?? null),
    column('float8', (r) => r.battery ?? null),
    column('float8', (r) => r.temperature ?? null),
    column('jsonb', (r) => (r.apps === undefined ? null : JSON.stringify(r.apps))),
  ])} AS r(serial_no, model, firmware, status, last_seen, group_name, state, battery, temperature, apps)`;
}

/** A device, and when it was last heard, in Unix milliseconds. */
export interface Seen {
  serial_no: string;
  last_seen: number;
}

const seenRows = (devices: readonly Seen[]) =>
  sql`${batchRows([
    ['text', devices.map(({ serial_no }) => serial_no)],
    ['timestamptz', devices.map(({ last_seen }) => new Date(last_seen).toISOString())],
  ])} AS r(serial_no, last_seen)`;

/** Marks devices as gone quiet, and notes it in their timelines. */
export async function recordOffline(db: Database, gone: readonly Seen[]): Promise<void> {
  for (let at = 0; at < gone.length; at += BULK) {
    await db.execute(sql`
      WITH gone AS (
        UPDATE devices d SET status = 'offline', last_seen = GREATEST(d.last_seen, r.last_seen), updated_at = now()
        FROM ${seenRows(gone.slice(at, at + BULK))} WHERE d.serial_no = r.serial_no AND d.status <> 'offline'
        RETURNING d.id)
      ${noteConnection('offline', sql`gone`, sql`date_trunc('milliseconds', now())`)}`);
  }
}

/** Brings the coarse `last_seen` of devices that stay online up to date. */
export async function recordLastSeen(db: Database, devices: readonly Seen[]): Promise<void> {
  for (let at = 0; at < devices.length; at += BULK) {
    await db.execute(sql`
      UPDATE devices d SET last_seen = r.last_seen FROM ${seenRows(devices.slice(at, at + BULK))}
      WHERE d.serial_no = r.serial_no AND d.last_seen < r.last_seen`);
  }
}

/** Counts for the overview. */
export interface DeviceCounts {
  total: number;
  by_status: Record<DeviceStatus, number>;
  by_firmware: { model: string; version: string | null; count: number }[];
}

/** How many devices there are, by status and by model and version. Reads the whole table: for cached use. */
export async function countDevices(db: Database): Promise<DeviceCounts> {
  const [statuses, versions] = await db.batch([
    db
      .select({ status: devices.status, count: sql<number>`count(*)::int` })
      .from(devices)
      .where(isNull(devices.decommissionedAt))
      .groupBy(devices.status),
    db
      .select({ model: devices.model, version: devices.currentFirmware, count: sql<number>`count(*)::int` })
      .from(devices)
      .where(isNull(devices.decommissionedAt))
      .groupBy(devices.model, devices.currentFirmware)
      .orderBy(sql`count(*) DESC`)
      .limit(50),
  ]);
  const byStatus: Record<DeviceStatus, number> = { online: 0, offline: 0, updating: 0 };
  for (const { status, count } of statuses) byStatus[status] = count;
  return {
    total: statuses.reduce((sum, { count }) => sum + count, 0),
    by_status: byStatus,
    by_firmware: versions,
  };
}
