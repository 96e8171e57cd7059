/**
 * A campaign's members in SQLite, one row each. The primary key is the hash order of the serial number: a report
 * finds its row without an index, and a stage is a run of rows in unbiased random order, taken with a cursor.
 */
import { FAILURE_CLASSES, type Stage, UPDATE_STATES, type UpdateState } from '../../protocol/api.ts';
import { hash32 } from '../../protocol/shards.ts';
import type { Change, Member } from './member.ts';
import { type Counts, type Failures, stageEnds } from './stages.ts';

export interface NewMember {
  serial_no: string;
  device_id: string;
  from_version: string | null;
  gateway: string | null;
  zone: string | null;
  group: string | null;
  /** Why it takes no part, where it does not. */
  skip: { error: string; detail: string } | null;
}

/** Where the claiming of untouched members has got to. */
export interface Cursor {
  h: number;
  serial_no: string;
}

type Row = Member & { h: number } & Record<string, SqlStorageValue>;

/** How many of the latest changed members are remembered. */
const LATEST = 100;

const COLUMNS = `serial_no, device_id, stage, state, attempt, from_version, version, gateway, zone, failure, error,
  detail, offered_at, started_at, finished_at, updated_at, next_at, wake_at, revision, grp, downloading_at,
  installing_at, rebooting_at, earlier`;

/** What was added to the members since the first campaigns. */
const ADDED = ['downloading_at INTEGER', 'installing_at INTEGER', 'rebooting_at INTEGER', 'earlier TEXT'];

export const emptyCounts = (): Counts =>
  Object.fromEntries(UPDATE_STATES.map((state) => [state, 0])) as Counts;

export const noFailures = (): Failures =>
  Object.fromEntries(FAILURE_CLASSES.map((name) => [name, 0])) as Failures;

export class Members {
  readonly #sql: SqlStorage;
  /** Serial numbers of the latest changed members, oldest first; read from the rows once, then kept. */
  #latest: string[] | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Makes the tables, empty. Only a campaign that starts has any. */
  create(): void {
    this.#sql.exec(`
      DROP TABLE IF EXISTS members; DROP TABLE IF EXISTS open; DROP TABLE IF EXISTS unwritten;
      CREATE TABLE members (
        h INTEGER NOT NULL, serial_no TEXT NOT NULL, device_id TEXT NOT NULL, stage INTEGER NOT NULL DEFAULT -1,
        state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, from_version TEXT, version TEXT, gateway TEXT,
        zone TEXT, grp TEXT, failure TEXT, error TEXT, detail TEXT, offered_at INTEGER, started_at INTEGER,
        finished_at INTEGER, updated_at INTEGER NOT NULL, next_at INTEGER, wake_at INTEGER,
        revision INTEGER NOT NULL DEFAULT 1, ${ADDED.join(', ')}, PRIMARY KEY (h, serial_no)) WITHOUT ROWID;
      -- Members the clock must look at, by when.
      CREATE TABLE open (wake_at INTEGER, h INTEGER, serial_no TEXT, PRIMARY KEY (wake_at, h, serial_no)) WITHOUT ROWID;
      -- Members whose row in the ledger is older than the one here.
      CREATE TABLE unwritten (h INTEGER, serial_no TEXT, PRIMARY KEY (h, serial_no)) WITHOUT ROWID;`);
  }

  /** Brings the tables of a campaign that began with an older version up to date. */
  upgrade(): void {
    const { names } = this.#sql
      .exec<{ names: string }>("SELECT group_concat(name) AS names FROM pragma_table_info('members')")
      .one();
    const there = new Set(names.split(','));
    for (const column of ADDED) {
      if (!there.has(column.split(' ')[0] ?? '')) this.#sql.exec(`ALTER TABLE members ADD COLUMN ${column}`);
    }
  }

  /** Adds members, in no stage yet; one that is there already stays. */
  add(members: readonly NewMember[], now: number): void {
    this.#sql.exec(
      `INSERT OR IGNORE INTO members (h, serial_no, device_id, state, from_version, version, gateway, zone, grp, error,
         detail, finished_at, updated_at)
       SELECT value->>'h', value->>'serial_no', value->>'device_id', value->>'state', value->>'from_version',
         value->>'from_version', value->>'gateway', value->>'zone', value->>'group', value->>'error',
         value->>'detail', value->>'finished_at', ? FROM json_each(?)`,
      now,
      JSON.stringify(
        members.map(({ skip, ...member }) => ({
          ...member,
          h: hash32(member.serial_no),
          state: skip === null ? 'pending' : 'skipped',
          error: skip?.error ?? null,
          detail: skip?.detail ?? null,
          finished_at: skip === null ? null : now,
        })),
      ),
    );
  }

  /** Leaves only a random but stable share of the members that are not skipped, at least one. */
  sample(percentage: number): void {
    const all = this.eligible;
    const kept = Math.max(1, Math.round((all * percentage) / 100));
    this.#sql.exec(
      `DELETE FROM members WHERE (h, serial_no) IN
         (SELECT h, serial_no FROM members WHERE state <> 'skipped' ORDER BY h, serial_no LIMIT -1 OFFSET ?)`,
      kept,
    );
  }

  /** How many take part. */
  get eligible(): number {
    return this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM members WHERE state <> 'skipped'").one()
      .n;
  }

  /** Deals the members that are in no stage out to the stages: the groups' stages first, then in their order. */
  deal(stages: readonly Stage[]): void {
    for (const [stage, { group }] of stages.entries()) {
      if (group === undefined) continue;
      this.#sql.exec(
        "UPDATE members SET stage = ? WHERE grp = ? AND stage = -1 AND state <> 'skipped'",
        stage,
        group,
      );
    }
    const left = this.#sql
      .exec<{ n: number }>("SELECT count(*) AS n FROM members WHERE stage = -1 AND state <> 'skipped'")
      .one().n;
    const shares = [...stages.entries()].filter(([, { group }]) => group === undefined);
    const ends = stageEnds(
      left,
      shares.map(([, stage]) => stage),
    );
    let start = 0;
    for (const [i, [stage]] of shares.entries()) {
      const end = ends[i] ?? start;
      this.#sql.exec(
        `UPDATE members SET stage = ? WHERE (h, serial_no) IN (SELECT h, serial_no FROM members
           WHERE stage = -1 AND state <> 'skipped' ORDER BY h, serial_no LIMIT ?)`,
        stage,
        end - start,
      );
      start = end;
    }
    this.#sql.exec('UPDATE members SET stage = 0 WHERE stage = -1');
    this.#sql.exec('INSERT OR IGNORE INTO unwritten SELECT h, serial_no FROM members');
  }

  /** Puts these members, just added, into a stage. */
  join(serialNos: readonly string[], stage: number): void {
    for (const serial of serialNos) {
      const h = hash32(serial);
      this.#sql.exec(
        'UPDATE members SET stage = ? WHERE h = ? AND serial_no = ? AND stage = -1',
        stage,
        h,
        serial,
      );
      this.#sql.exec('INSERT OR IGNORE INTO unwritten VALUES (?, ?)', h, serial);
    }
  }

  /** How many members of each state each stage has. Reads every row: for the start, and for tests. */
  count(stages: number): Counts[] {
    const counts = Array.from({ length: stages }, emptyCounts);
    for (const row of this.#sql.exec<{ stage: number; state: UpdateState; n: number }>(
      'SELECT stage, state, count(*) AS n FROM members GROUP BY stage, state',
    )) {
      const stage = counts[row.stage];
      if (stage !== undefined) stage[row.state] = row.n;
    }
    return counts;
  }

  get(serialNo: string): Member | undefined {
    const [row] = this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM members WHERE h = ? AND serial_no = ?`, hash32(serialNo), serialNo)
      .toArray();
    return row;
  }

  /** Untouched members behind the cursor, up to and including a stage, in their order. */
  untouched(cursor: Cursor, stage: number, limit: number): Member[] {
    return this.#sql
      .exec<Row>(
        `SELECT ${COLUMNS} FROM members WHERE (h, serial_no) > (?, ?) AND stage <= ? AND state = 'pending'
           AND attempt = 0 AND wake_at IS NULL ORDER BY h, serial_no LIMIT ?`,
        cursor.h,
        cursor.serial_no,
        stage,
        limit,
      )
      .toArray();
  }

  /** Members the clock must look at now, those longest due first. */
  due(now: number, limit: number): Member[] {
    return this.#sql
      .exec<Row>(
        `SELECT ${COLUMNS.replaceAll(/\b(?=\w)/g, 'm.')} FROM (SELECT h, serial_no, wake_at AS due FROM open
           WHERE wake_at <= ? ORDER BY wake_at LIMIT ?) o
         JOIN members m ON m.h = o.h AND m.serial_no = o.serial_no ORDER BY o.due`,
        now,
        limit,
      )
      .toArray();
  }

  /** How many are under way behind each gateway. */
  byGateway(): Map<string, number> {
    const rows = this.#sql.exec<{ gateway: string; n: number }>(
      `SELECT m.gateway, count(*) AS n FROM open o JOIN members m ON m.h = o.h AND m.serial_no = o.serial_no
       WHERE m.gateway IS NOT NULL AND m.state IN ('offered', 'downloading', 'installing', 'rebooting')
       GROUP BY m.gateway`,
    );
    return new Map([...rows].map(({ gateway, n }) => [gateway, n]));
  }

  /** The clock must look at every member again: the policy has changed. */
  rewake(wakeAt: (member: Member) => number | null): void {
    const open = this.#sql.exec<Row>(`SELECT ${COLUMNS} FROM members WHERE wake_at IS NOT NULL`).toArray();
    for (const member of open) this.#wake(member, wakeAt(member));
  }

  /** Some members in a state, of a stage: the first in their order, so an unbiased sample. */
  inState(stage: number, state: UpdateState, limit: number): Member[] {
    return this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM members WHERE stage = ? AND state = ? LIMIT ?`, stage, state, limit)
      .toArray();
  }

  /** Members that failed or went back, all or those with one error. */
  failed(error: string | undefined, limit: number): Member[] {
    return this.#sql
      .exec<Row>(
        `SELECT ${COLUMNS} FROM members WHERE state IN ('failed', 'rollback') AND (? IS NULL OR error = ?) LIMIT ?`,
        error ?? null,
        error ?? null,
        limit,
      )
      .toArray();
  }

  /** Untouched members, in any stage: what is usual for devices that were not updated. */
  control(limit: number): Member[] {
    return this.#sql
      .exec<Row>(
        `SELECT ${COLUMNS} FROM members WHERE state = 'pending' AND attempt = 0 ORDER BY h DESC LIMIT ?`,
        limit,
      )
      .toArray();
  }

  /** Members that have not ended and are not under way: never offered, or waiting for another try. */
  waiting(limit: number): Member[] {
    return this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM members WHERE state IN ('pending', 'offered') LIMIT ?`, limit)
      .toArray();
  }

  /** The serial numbers of members that have not begun, behind a cursor, in their order. */
  serials(after: Cursor, limit: number): { serials: string[]; last: Cursor | undefined } {
    const rows = this.#sql
      .exec<{ h: number; serial_no: string }>(
        `SELECT h, serial_no FROM members WHERE (h, serial_no) > (?, ?) AND state = 'pending'
         ORDER BY h, serial_no LIMIT ?`,
        after.h,
        after.serial_no,
        limit,
      )
      .toArray();
    return { serials: rows.map(({ serial_no }) => serial_no), last: rows.at(-1) };
  }

  /** Members that completed after a moment (Unix milliseconds). */
  completedAfter(at: number): Member[] {
    return this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM members WHERE state = 'completed' AND finished_at > ?`, at)
      .toArray();
  }

  /** The latest changed members, newest first, for the live view. */
  latest(limit: number): Member[] {
    this.#latest ??= this.#sql
      .exec<{ serial_no: string }>('SELECT serial_no FROM members ORDER BY updated_at, serial_no DESC')
      .toArray()
      .slice(-limit)
      .map(({ serial_no }) => serial_no);
    return this.#latest
      .slice(-limit)
      .reverse()
      .flatMap((serial) => this.get(serial) ?? []);
  }

  /** Stores a changed member and notes that the ledger does not know it yet. */
  save(member: Member, change: NonNullable<Change>, wakeAt: number | null, now: number): Member {
    const next: Member = { ...member, ...change, updated_at: now, revision: member.revision + 1 };
    const h = hash32(member.serial_no);
    this.#sql.exec(
      `UPDATE members SET state = ?, attempt = ?, version = ?, failure = ?, error = ?, detail = ?, offered_at = ?,
         started_at = ?, finished_at = ?, updated_at = ?, next_at = ?, revision = ?, downloading_at = ?,
         installing_at = ?, rebooting_at = ?, earlier = ? WHERE h = ? AND serial_no = ?`,
      next.state,
      next.attempt,
      next.version,
      next.failure,
      next.error,
      next.detail,
      next.offered_at,
      next.started_at,
      next.finished_at,
      now,
      next.next_at,
      next.revision,
      next.downloading_at,
      next.installing_at,
      next.rebooting_at,
      next.earlier,
      h,
      next.serial_no,
    );
    this.#sql.exec('INSERT OR IGNORE INTO unwritten VALUES (?, ?)', h, next.serial_no);
    this.#note(next.serial_no);
    return this.#wake(next, wakeAt);
  }

  /** The clock looks at the member at `wakeAt`, or not at all. */
  #wake(member: Member, wakeAt: number | null): Member {
    if (member.wake_at === wakeAt) return member;
    const { serial_no } = member;
    const h = hash32(serial_no);
    if (member.wake_at !== null) {
      this.#sql.exec(
        'DELETE FROM open WHERE wake_at = ? AND h = ? AND serial_no = ?',
        member.wake_at,
        h,
        serial_no,
      );
    }
    if (wakeAt !== null) this.#sql.exec('INSERT OR IGNORE INTO open VALUES (?, ?, ?)', wakeAt, h, serial_no);
    this.#sql.exec('UPDATE members SET wake_at = ? WHERE h = ? AND serial_no = ?', wakeAt, h, serial_no);
    return { ...member, wake_at: wakeAt };
  }

  #note(serialNo: string): void {
    if (this.#latest === undefined) return;
    const at = this.#latest.lastIndexOf(serialNo);
    if (at !== -1) this.#latest.splice(at, 1);
    this.#latest.push(serialNo);
    if (this.#latest.length > 2 * LATEST) this.#latest.splice(0, LATEST);
  }

  /** Members the ledger does not know in their newest state. */
  unwritten(limit: number): Member[] {
    return this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM (SELECT * FROM unwritten LIMIT ?) NATURAL JOIN members`, limit)
      .toArray();
  }

  /** The ledger has these now; one that has changed again meanwhile stays unwritten. */
  markWritten(written: readonly Member[]): void {
    this.#sql.exec(
      `DELETE FROM unwritten WHERE (h, serial_no) IN (
         SELECT m.h, m.serial_no FROM json_each(?) w JOIN members m
         ON m.h = w.value->>'h' AND m.serial_no = w.value->>'s' AND m.revision = w.value->>'r')`,
      JSON.stringify(written.map((m) => ({ h: hash32(m.serial_no), s: m.serial_no, r: m.revision }))),
    );
  }
}
