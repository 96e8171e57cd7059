/**
 * A campaign's members in SQLite, one row each. The primary key is the hash order of the serial number: a report
 * finds its row without an index, and a stage is a run of rows in unbiased random order, taken with a cursor.
 */
import { UPDATE_STATES, type UpdateState } from '../../protocol/api.ts';
import { hash32 } from '../../protocol/shards.ts';
import type { Change, Member } from './member.ts';
import { isFinal } from './member.ts';
import type { Counts } from './stages.ts';

export interface NewMember {
  serial_no: string;
  device_id: string;
  from_version: string | null;
  /** Why it takes no part, where it does not. */
  skip: { error: string; detail: string } | null;
}

/** Where the claiming of untouched members has got to. */
export interface Cursor {
  h: number;
  serial_no: string;
}

type Row = Member & { h: number } & Record<string, SqlStorageValue>;

const COLUMNS = `serial_no, device_id, stage, state, attempt, from_version, error, detail, offered_at, started_at,
  finished_at, updated_at, next_at, revision`;

export const emptyCounts = (): Counts =>
  Object.fromEntries(UPDATE_STATES.map((state) => [state, 0])) as Counts;

export class Members {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Makes the tables, empty. Only a campaign that starts has any. */
  create(): void {
    this.#sql.exec(`
      DROP TABLE IF EXISTS members; DROP TABLE IF EXISTS open; DROP TABLE IF EXISTS unwritten;
      CREATE TABLE members (
        h INTEGER NOT NULL, serial_no TEXT NOT NULL, device_id TEXT NOT NULL, stage INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, from_version TEXT, error TEXT, detail TEXT,
        offered_at INTEGER, started_at INTEGER, finished_at INTEGER, updated_at INTEGER NOT NULL, next_at INTEGER,
        revision INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (h, serial_no)) WITHOUT ROWID;
      -- Members that were offered something and have not ended: what the clock must look at.
      CREATE TABLE open (h INTEGER, serial_no TEXT, PRIMARY KEY (h, serial_no)) WITHOUT ROWID;
      -- Members whose row in the ledger is older than the one here.
      CREATE TABLE unwritten (h INTEGER, serial_no TEXT, PRIMARY KEY (h, serial_no)) WITHOUT ROWID;`);
  }

  /** Adds members; one that is there already stays. */
  add(members: readonly NewMember[], now: number): void {
    this.#sql.exec(
      `INSERT OR IGNORE INTO members (h, serial_no, device_id, state, from_version, error, detail, finished_at, updated_at)
       SELECT value->>'h', value->>'serial_no', value->>'device_id', value->>'state', value->>'from_version',
         value->>'error', value->>'detail', value->>'finished_at', ? FROM json_each(?)`,
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

  /** Deals the members out to the stages; `ends[i]` is the number of members in stages 0 to i. */
  deal(ends: readonly number[]): void {
    let start = 0;
    for (const [stage, end] of ends.entries()) {
      this.#sql.exec(
        `UPDATE members SET stage = ? WHERE (h, serial_no) IN
           (SELECT h, serial_no FROM members WHERE state <> 'skipped' ORDER BY h, serial_no LIMIT ? OFFSET ?)`,
        stage,
        end - start,
        start,
      );
      start = end;
    }
    this.#sql.exec('INSERT OR IGNORE INTO unwritten SELECT h, serial_no FROM members');
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
           AND attempt = 0 ORDER BY h, serial_no LIMIT ?`,
        cursor.h,
        cursor.serial_no,
        stage,
        limit,
      )
      .toArray();
  }

  /** Members that were offered something and have not ended. */
  open(): Member[] {
    return this.#sql.exec<Row>(`SELECT ${COLUMNS} FROM members NATURAL JOIN open`).toArray();
  }

  /** Members that have not ended and are not under way: never offered, or waiting for another try. */
  waiting(limit: number): Member[] {
    return this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM members WHERE state IN ('pending', 'offered') LIMIT ?`, limit)
      .toArray();
  }

  /** Members that completed after a moment (Unix milliseconds). */
  completedAfter(at: number): Member[] {
    return this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM members WHERE state = 'completed' AND finished_at > ?`, at)
      .toArray();
  }

  /** The latest changed members, for the live view. */
  latest(limit: number): Member[] {
    return this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM members ORDER BY updated_at DESC, serial_no LIMIT ?`, limit)
      .toArray();
  }

  /** Stores a changed member and notes that the ledger does not know it yet. */
  save(member: Member, change: NonNullable<Change>, now: number): Member {
    const next: Member = { ...member, ...change, updated_at: now, revision: member.revision + 1 };
    const h = hash32(member.serial_no);
    this.#sql.exec(
      `UPDATE members SET state = ?, attempt = ?, error = ?, detail = ?, offered_at = ?, started_at = ?,
         finished_at = ?, updated_at = ?, next_at = ?, revision = ? WHERE h = ? AND serial_no = ?`,
      next.state,
      next.attempt,
      next.error,
      next.detail,
      next.offered_at,
      next.started_at,
      next.finished_at,
      now,
      next.next_at,
      next.revision,
      h,
      next.serial_no,
    );
    this.#sql.exec('INSERT OR IGNORE INTO unwritten VALUES (?, ?)', h, next.serial_no);
    if (isFinal(next.state))
      this.#sql.exec('DELETE FROM open WHERE h = ? AND serial_no = ?', h, next.serial_no);
    else if (next.attempt > 0) this.#sql.exec('INSERT OR IGNORE INTO open VALUES (?, ?)', h, next.serial_no);
    return next;
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
