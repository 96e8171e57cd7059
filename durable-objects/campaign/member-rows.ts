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
  'from_version',
  'version',
  'failure',
  'error',
  'detail',
  'ended_by',
  'unanswered',
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
  'waits',
  'revision',
] as const satisfies readonly (keyof Row)[];

type Column = (typeof MUTABLE)[number];

/** A member as it is stored: with what the clock's index needs, so that a change of state alone leaves that alone. */
type Row = Member & { waits: number };

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
  unanswered: number,
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
  m.version, m.failure, m.error, m.detail, m.ended_by, m.unanswered, m.offered_at, m.downloading_at, m.installing_at, m.rebooting_at, m.earlier,
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
  unanswered,
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
  unanswered,
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

/** Makes the tables, empty. */
export function createTables(sql: SqlStorage): void {
  sql.exec(`
    DROP TABLE IF EXISTS members; DROP TABLE IF EXISTS unwritten;
    CREATE TABLE members (
      h INTEGER NOT NULL, serial_no TEXT NOT NULL, device_id TEXT NOT NULL, stage INTEGER NOT NULL,
      state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, from_version TEXT, version TEXT, gateway TEXT,
      zone TEXT, grp TEXT, failure TEXT, error TEXT, detail TEXT, ended_by TEXT, unanswered INTEGER NOT NULL DEFAULT 0, offered_at INTEGER, downloading_at INTEGER,
      installing_at INTEGER, rebooting_at INTEGER, earlier TEXT, started_at INTEGER,
      finished_at INTEGER, updated_at INTEGER NOT NULL, next_at INTEGER, wake_at INTEGER,
      waits INTEGER NOT NULL DEFAULT 0, revision INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (h, serial_no)) WITHOUT ROWID;
    -- Members the clock must look at, by when: apart from those that only wait for their turn, which may be very many.
    CREATE INDEX awake ON members (waits, wake_at) WHERE wake_at IS NOT NULL;
    -- Members whose row in the ledger is older than the one here, once for each change: written to its end only.
    CREATE TABLE unwritten (seq INTEGER PRIMARY KEY AUTOINCREMENT, h INTEGER, serial_no TEXT);`);
}

/** These members' places as an object for `json_each`: serial number to hash, which SQLite takes apart soonest. */
const placesOf = (serialNos: readonly string[]): string =>
  JSON.stringify(Object.fromEntries(serialNos.map((serial) => [serial, hash32(serial)])));

export const readRows = (sql: SqlStorage, serialNos: readonly string[]): Member[] =>
  selectMembers(
    sql,
    'json_each(?) w CROSS JOIN members m ON m.h = w.value AND m.serial_no = w.key',
    placesOf(serialNos),
  );

/** Writes members that have changed: of each only the columns that did. */
export function writeRows(sql: SqlStorage, changed: readonly { member: Member; before: Member }[]): void {
  const rows = changed.map(({ member, before }) => ({ row: rowOf(member), before: rowOf(before) }));
  const byColumns = Map.groupBy(rows, ({ row, before }) =>
    MUTABLE.filter((column) => row[column] !== before[column]).join(),
  );
  for (const [names, same] of byColumns) {
    const columns = MUTABLE.filter((column) => names.split(',').includes(column));
    if (columns.length === 0) continue;
    writeColumns(
      sql,
      columns,
      same.map(({ row }) => row),
    );
  }
  markUnwritten(
    sql,
    changed.map(({ member }) => member.serial_no),
  );
}

/** One that begins at some time, and then waits for its turn, may do so as long as it takes. */
const rowOf = (member: Member): Row => ({
  ...member,
  waits: member.state === 'pending' && member.next_at !== null ? 1 : 0,
});

/**
 * Columns that have become the same in all rows, as most do when many devices report, are given once. `OR FAIL`: undoing
 * a statement by itself, which nobody relies on, would cost a copy of every page it touches.
 */
function writeColumns(sql: SqlStorage, columns: readonly Column[], rows: readonly Row[]): void {
  const [first] = rows;
  if (first === undefined) return;
  const isShared = (column: Column) => rows.every((row) => row[column] === first[column]);
  const { shared = [], own = [] } = Object.groupBy(columns, (column) =>
    isShared(column) ? 'shared' : 'own',
  );
  const set = [
    ...shared.map((column) => `${column} = ?`),
    ...own.map((column, i) => `${column} = w.value->>${i + 1}`),
  ];
  const placed = (row: Row) => {
    const h = hash32(row.serial_no);
    return [row.serial_no, own.length === 0 ? h : [h, ...own.map((column) => row[column])]];
  };
  sql.exec(
    `UPDATE OR FAIL members SET ${set.join(', ')} FROM json_each(?) w
     WHERE members.h = w.value${own.length === 0 ? '' : '->>0'} AND members.serial_no = w.key`,
    ...shared.map((column) => first[column]),
    JSON.stringify(Object.fromEntries(rows.map(placed))),
  );
}

/** The ledger does not know these in their newest state. */
export function markUnwritten(sql: SqlStorage, serialNos: readonly string[]): void {
  sql.exec('INSERT INTO unwritten (h, serial_no) SELECT value, key FROM json_each(?)', placesOf(serialNos));
}
