/** What devices say of themselves, into the ledger. Bulk writes change only rows that differ, so an unchanged device costs no WAL. */
import { type SQL, sql } from 'drizzle-orm';
import type { Device } from '../protocol/api.ts';
import { batchRows } from './batch-rows.ts';
import type { Database } from './connection.ts';
import { noteConnection } from './device-events.ts';
import type { DeviceRow } from './devices.ts';
import { deviceGroups, devices } from './schema.ts';

/** Rows of one bulk statement. */
const BULK = 1000;

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

/** What the API shows otherwise of a device (`deviceOf`) once a report of it was recorded at `at`. */
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

/** The group a device says it is in; no word puts it into one that has a rule. */
const saidGroup = sql`CASE WHEN r.group_name IS NOT NULL AND NOT EXISTS
  (SELECT FROM ${deviceGroups} g WHERE g.name = r.group_name AND g.rule IS NOT NULL) THEN r.group_name END`;

interface Optional {
  column: string;
  type: string;
  pick(report: DeviceReport): unknown;
  /** What becomes of its column. */
  value: SQL;
}

/** What a device need not say. Where none of many says it, it is in no statement: each column costs its share. */
const OPTIONAL = {
  group: {
    column: 'group_name',
    type: 'text',
    pick: ({ group }) => group || null,
    value: sql`COALESCE(${devices.group}, ${saidGroup})`,
  },
  powerState: {
    column: 'power_state',
    type: 'text',
    pick: ({ state = null }) => state,
    value: sql`COALESCE(r.power_state, ${devices.powerState})`,
  },
  battery: {
    column: 'battery',
    type: 'float8',
    pick: ({ battery = null }) => battery,
    value: sql`COALESCE(r.battery, ${devices.battery})`,
  },
  temperature: {
    column: 'temperature',
    type: 'float8',
    pick: ({ temperature = null }) => temperature,
    value: sql`COALESCE(r.temperature, ${devices.temperature})`,
  },
  apps: {
    column: 'apps',
    type: 'jsonb',
    pick: ({ apps }) => (apps === undefined ? null : JSON.stringify(apps)),
    value: sql`COALESCE(r.apps, ${devices.apps})`,
  },
} satisfies Record<string, Optional>;

function updateReported(db: Database, reports: readonly DeviceReport[], at: Date) {
  const said = Object.entries<Optional>(OPTIONAL).filter(([, { pick }]) =>
    reports.some((r) => pick(r) !== null),
  );
  const columns = said.map(([, { column, type, pick }]) => [column, type, reports.map(pick)] as const);
  return db
    .update(devices)
    .set({
      model: sql`r.model`,
      currentFirmware: sql`r.firmware`,
      lastSeen: sql`GREATEST(${devices.lastSeen}, to_timestamp(r.seen_ms / 1000))`,
      status: sql`CASE WHEN r.status = 'online' AND ${devices.targetVersion} IS NOT NULL THEN 'updating' ELSE r.status END`,
      updatedAt: at,
      ...Object.fromEntries(said.map(([name, { value }]) => [name, value])),
    })
    .from(reportedRows(reports, columns))
    .where(sql`${devices.serialNo} = r.serial_no`)
    .returning(reported);
}

/** What is optional comes with the update after it. */
const insertReported = (db: Database, reports: readonly DeviceReport[], approved: boolean) =>
  db.execute(sql`
    INSERT INTO devices (serial_no, model, current_firmware, status, last_seen, approved)
    SELECT r.serial_no, r.model, r.firmware, r.status, to_timestamp(r.seen_ms / 1000), ${approved}
    FROM ${reportedRows(reports)} ON CONFLICT (serial_no) DO NOTHING`);

function reportedRows(
  reports: readonly DeviceReport[],
  more: readonly (readonly [name: string, type: string, values: readonly unknown[]])[] = [],
): SQL {
  const columns = [
    ['serial_no', 'text', reports.map((r) => r.serial_no)],
    ['model', 'text', reports.map((r) => r.model)],
    ['firmware', 'text', reports.map((r) => r.current_firmware)],
    ['status', 'device_status', reports.map((r) => r.status)],
    // A number: PostgreSQL takes several times as long to read a date.
    ['seen_ms', 'float8', reports.map((r) => r.last_seen.getTime())],
    ...more,
  ] as const;
  const names = sql.raw(columns.map(([name]) => name).join(', '));
  return sql`${batchRows(columns.map(([, type, values]) => [type, values]))} AS r(${names})`;
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
