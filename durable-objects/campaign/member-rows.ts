/** The members' rows, read and written many in one statement: a statement a row costs several times as much. */
import { hash32 } from '../../protocol/shards.ts';
import type { Member } from './member.ts';

/** A member's place in the order. */
export interface Cursor {
  h: number;
  serial_no: string;
}

export type Row = Member & Record<string, SqlStorageValue>;

/** What changes of a row; the rest is fixed when the member joins. */
const MUTABLE = [
  'state',
  'attempt',
  'version',
  'failure',
  'error',
  'detail',
  'offered_at',
  'downloading_at',
  'installing_at',
  'rebooting_at',
  'earlier',
  'started_at',
  'finished_at',
  'updated_at',
  'next_at',
  'wake_at',
  'revision',
] as const satisfies readonly (keyof Member)[];

const FIXED = [
  'serial_no',
  'device_id',
  'stage',
  'from_version',
  'gateway',
  'zone',
  'grp',
] as const satisfies readonly (keyof Member)[];

export const COLUMNS = [...FIXED, ...MUTABLE].map((column) => `m.${column}`).join(', ');

const SET = MUTABLE.map((column, i) => `${column} = w.value->>${i + 2}`).join(', ');

/** Makes the tables, empty. */
export function createTables(sql: SqlStorage): void {
  sql.exec(`
    DROP TABLE IF EXISTS members; DROP TABLE IF EXISTS open; DROP TABLE IF EXISTS unwritten;
    CREATE TABLE members (
      h INTEGER NOT NULL, serial_no TEXT NOT NULL, device_id TEXT NOT NULL, stage INTEGER NOT NULL,
      state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, from_version TEXT, version TEXT, gateway TEXT,
      zone TEXT, grp TEXT, failure TEXT, error TEXT, detail TEXT, offered_at INTEGER, downloading_at INTEGER,
      installing_at INTEGER, rebooting_at INTEGER, earlier TEXT, started_at INTEGER,
      finished_at INTEGER, updated_at INTEGER NOT NULL, next_at INTEGER, wake_at INTEGER,
      revision INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (h, serial_no)) WITHOUT ROWID;
    -- Members the clock must look at, by when.
    CREATE TABLE open (wake_at INTEGER, h INTEGER, serial_no TEXT, PRIMARY KEY (wake_at, h, serial_no)) WITHOUT ROWID;
    -- Members whose row in the ledger is older than the one here.
    CREATE TABLE unwritten (h INTEGER, serial_no TEXT, PRIMARY KEY (h, serial_no)) WITHOUT ROWID;`);
}

export function readRows(sql: SqlStorage, serialNos: readonly string[]): Row[] {
  return sql
    .exec<Row>(
      `SELECT ${COLUMNS} FROM json_each(?) w CROSS JOIN members m
       ON m.h = w.value->>0 AND m.serial_no = w.value->>1`,
      JSON.stringify(serialNos.map((serial) => [hash32(serial), serial])),
    )
    .toArray();
}

/** Writes members that have changed, and when the clock must look at them; `before` is when it was to look. */
export function writeRows(
  sql: SqlStorage,
  changed: readonly { member: Member; before: number | null }[],
): void {
  const rows = changed.map(({ member, before }) => ({ h: hash32(member.serial_no), member, before }));
  sql.exec(
    `UPDATE members SET ${SET} FROM json_each(?) w WHERE members.h = w.value->>0 AND members.serial_no = w.value->>1`,
    JSON.stringify(
      rows.map(({ h, member }) => [h, member.serial_no, ...MUTABLE.map((column) => member[column])]),
    ),
  );
  markUnwritten(
    sql,
    rows.map(({ h, member }) => [h, member.serial_no]),
  );
  const moved = rows.filter(({ member, before }) => member.wake_at !== before);
  const asleep = moved.flatMap(({ h, member, before }) =>
    before === null ? [] : [[before, h, member.serial_no]],
  );
  const awake = moved.flatMap(({ h, member }) =>
    member.wake_at === null ? [] : [[member.wake_at, h, member.serial_no]],
  );
  if (asleep.length > 0) {
    sql.exec(
      `DELETE FROM open WHERE (wake_at, h, serial_no) IN
         (SELECT value->>0, value->>1, value->>2 FROM json_each(?))`,
      JSON.stringify(asleep),
    );
  }
  if (awake.length > 0) {
    sql.exec(
      'INSERT OR IGNORE INTO open SELECT value->>0, value->>1, value->>2 FROM json_each(?)',
      JSON.stringify(awake),
    );
  }
}

/** The ledger does not know these, given with their hashes, in their newest state. */
export function markUnwritten(sql: SqlStorage, keys: readonly (readonly [number, string])[]): void {
  sql.exec(
    'INSERT OR IGNORE INTO unwritten SELECT value->>0, value->>1 FROM json_each(?)',
    JSON.stringify(keys),
  );
}
