/** Devices: the fleet's ledger, and what people say of it. What the devices say comes by `device-reports.ts`. */
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
import type { Database } from './connection.ts';
import { groupsCondition } from './groups.ts';
import { nameKey, pageOf, readCursor } from './page.ts';
import { devices } from './schema.ts';

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
