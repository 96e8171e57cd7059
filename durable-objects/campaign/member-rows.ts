/** The members' rows, read and written many in one statement: a statement a row costs several times as much. */
import type { FailureClass, UpdateState } from '../../protocol/api.ts';
import { hash32 } from '../../protocol/shards.ts';
import type { Member } from './member.ts';

/** A member's place in the order. */
export interface Cursor {
  h: number;
  serial_no: string;
}

/** What changes of a row; the rest is fixed when the member joins. */
const MUTABLE = [
  'state',
  'attempt',
  'version',
  'failure',
  'error',
  'detail',
  'ended_by',
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

/** A row as it is read: in an array, which is several times faster than an object by the columns' names. */
type Raw = [
  serial_no: string,
  device_id: string,
  stage: number,
  from_version: string | null,
  gateway: string | null,
  zone: string | null,
  grp: string | null,
  state: UpdateState,
  attempt: number,
  version: string | null,
  failure: FailureClass | null,
  error: string | null,
  detail: string | null,
  ended_by: string | null,
  offered_at: number | null,
  downloading_at: number | null,
  installing_at: number | null,
  rebooting_at: number | null,
  earlier: string | null,
  started_at: number | null,
  finished_at: number | null,
  updated_at: number,
  next_at: number | null,
  wake_at: number | null,
  revision: number,
];

const COLUMNS = `m.serial_no, m.device_id, m.stage, m.from_version, m.gateway, m.zone, m.grp, m.state, m.attempt,
  m.version, m.failure, m.error, m.detail, m.ended_by, m.offered_at, m.downloading_at, m.installing_at, m.rebooting_at, m.earlier,
  m.started_at, m.finished_at, m.updated_at, m.next_at, m.wake_at, m.revision`;

const memberOf = ([
  serial_no,
  device_id,
  stage,
  from_version,
  gateway,
  zone,
  grp,
  state,
  attempt,
  version,
  failure,
  error,
  detail,
  ended_by,
  offered_at,
  downloading_at,
  installing_at,
  rebooting_at,
  earlier,
  started_at,
  finished_at,
  updated_at,
  next_at,
  wake_at,
  revision,
]: Raw): Member => ({
  serial_no,
  device_id,
  stage,
  from_version,
  gateway,
  zone,
  grp,
  state,
  attempt,
  version,
  failure,
  error,
  detail,
  ended_by,
  offered_at,
  downloading_at,
  installing_at,
  rebooting_at,
  earlier,
  started_at,
  finished_at,
  updated_at,
  next_at,
  wake_at,
  revision,
});

/** Members, as `FROM …` and what follows say; the table of members is `m`. */
export function selectMembers(sql: SqlStorage, from: string, ...values: SqlStorageValue[]): Member[] {
  return [...sql.exec(`SELECT ${COLUMNS} FROM ${from}`, ...values).raw<Raw>()].map(memberOf);
}

/** Members that may begin at some time, and then wait for their turn, as long as it takes. */
export const WAITS = "(state = 'pending' AND next_at IS NOT NULL)";

/** Makes the tables, empty. */
export function createTables(sql: SqlStorage): void {
  sql.exec(`
    DROP TABLE IF EXISTS members; DROP TABLE IF EXISTS unwritten;
    CREATE TABLE members (
      h INTEGER NOT NULL, serial_no TEXT NOT NULL, device_id TEXT NOT NULL, stage INTEGER NOT NULL,
      state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, from_version TEXT, version TEXT, gateway TEXT,
      zone TEXT, grp TEXT, failure TEXT, error TEXT, detail TEXT, ended_by TEXT, offered_at INTEGER, downloading_at INTEGER,
      installing_at INTEGER, rebooting_at INTEGER, earlier TEXT, started_at INTEGER,
      finished_at INTEGER, updated_at INTEGER NOT NULL, next_at INTEGER, wake_at INTEGER,
      revision INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (h, serial_no)) WITHOUT ROWID;
    -- Members the clock must look at, by when: apart from those that only wait for their turn, which may be very many.
    CREATE INDEX awake ON members (${WAITS}, wake_at) WHERE wake_at IS NOT NULL;
    -- Members whose row in the ledger is older than the one here, once for each change: written to its end only.
    CREATE TABLE unwritten (seq INTEGER PRIMARY KEY AUTOINCREMENT, h INTEGER, serial_no TEXT);`);
}

export const readRows = (sql: SqlStorage, serialNos: readonly string[]): Member[] =>
  selectMembers(
    sql,
    'json_each(?) w CROSS JOIN members m ON m.h = w.value->>0 AND m.serial_no = w.value->>1',
    JSON.stringify(serialNos.map((serial) => [hash32(serial), serial])),
  );

/** Writes members that have changed: of each only the columns that did. */
export function writeRows(sql: SqlStorage, changed: readonly { member: Member; before: Member }[]): void {
  const byColumns = Map.groupBy(changed, ({ member, before }) =>
    MUTABLE.filter((column) => member[column] !== before[column]).join(),
  );
  for (const [names, rows] of byColumns) {
    const columns = MUTABLE.filter((column) => names.split(',').includes(column));
    if (columns.length === 0) continue;
    const set = columns.map((column, i) => `${column} = w.value->>${i + 2}`).join(', ');
    sql.exec(
      `UPDATE members SET ${set} FROM json_each(?) w WHERE members.h = w.value->>0 AND members.serial_no = w.value->>1`,
      JSON.stringify(
        rows.map(({ member }) => [
          hash32(member.serial_no),
          member.serial_no,
          ...columns.map((column) => member[column]),
        ]),
      ),
    );
  }
  markUnwritten(
    sql,
    changed.map(({ member: { serial_no } }) => [hash32(serial_no), serial_no]),
  );
}

/** The ledger does not know these, given with their hashes, in their newest state. */
export function markUnwritten(sql: SqlStorage, keys: readonly (readonly [number, string])[]): void {
  sql.exec(
    'INSERT INTO unwritten (h, serial_no) SELECT value->>0, value->>1 FROM json_each(?)',
    JSON.stringify(keys),
  );
}
