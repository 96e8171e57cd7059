/**
 * A campaign's members in SQLite, one row each. The primary key is the hash order of the serial number: a report
 * finds its row without an index, and a stage is a run of rows in unbiased random order, taken with a cursor.
 */
import type { UpdateState } from '../../protocol/api.ts';
import { hash32 } from '../../protocol/shards.ts';
import type { FoundDevice } from './found.ts';
import type { Change, Member } from './member.ts';
import {
  COLUMNS,
  type Cursor,
  createTables,
  markUnwritten,
  type Row,
  readRows,
  writeRows,
} from './member-rows.ts';

/** Before all members. */
export const START: Cursor = { h: -1, serial_no: '' };

/** After all members. */
export const END: Cursor = { h: 2 ** 32, serial_no: '' };

const IN_FLIGHT = "('offered', 'downloading', 'installing', 'rebooting')";

export class Members {
  readonly #sql: SqlStorage;
  /** While many change at once: those read ahead, and those to be written at the end. */
  #batch: { read: Map<string, Member>; changed: Map<string, { member: Member; before: Member }> } | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Makes the tables, empty. Only a campaign that starts has any. */
  create(): void {
    createTables(this.#sql);
  }

  /**
   * Runs `change` with these members read ahead, and writes all it changes at its end, in a few statements. Inside,
   * only {@link get} sees what was changed.
   */
  batch<T>(serialNos: readonly string[], change: () => T): T {
    if (this.#batch !== undefined) return change();
    const read = serialNos.length < 2 ? [] : readRows(this.#sql, serialNos);
    const batch = { read: new Map(read.map((row) => [row.serial_no, row])), changed: new Map() };
    this.#batch = batch;
    try {
      return change();
    } finally {
      this.#batch = undefined;
      if (batch.changed.size > 0) writeRows(this.#sql, [...batch.changed.values()]);
    }
  }

  /** Adds members in the order of their hashes; one that is there already stays. Answers those that were not. */
  add(members: readonly (FoundDevice & { stage: number })[], now: number): string[] {
    const there = new Set(
      readRows(
        this.#sql,
        members.map((m) => m.serial_no),
      ).map((m) => m.serial_no),
    );
    const added = members.filter(({ serial_no }) => !there.has(serial_no));
    this.#sql.exec(
      `INSERT INTO members (h, serial_no, device_id, stage, state, from_version, version, gateway, zone, grp, error,
         detail, finished_at, updated_at)
       SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>5, value->>6, value->>7,
         value->>8, value->>9, value->>10, value->>11, value->>12 FROM json_each(?)`,
      JSON.stringify(
        added.map((m) => {
          const out = m.error !== null;
          const fixed = [m.h, m.serial_no, m.device_id, m.stage, out ? 'skipped' : 'pending', m.from_version];
          return [...fixed, m.gateway, m.zone, m.grp, m.error, m.detail, out ? now : null, now];
        }),
      ),
    );
    markUnwritten(
      this.#sql,
      added.map(({ h, serial_no }) => [h, serial_no]),
    );
    return added.map(({ serial_no }) => serial_no);
  }

  get(serialNo: string): Member | undefined {
    const ahead = this.#batch?.changed.get(serialNo)?.member ?? this.#batch?.read.get(serialNo);
    return ahead ?? this.#select('h = ? AND serial_no = ?', hash32(serialNo), serialNo)[0];
  }

  /** Untouched members behind a cursor and not behind another, up to and including a stage, in their order. */
  untouched(cursor: Cursor, until: Cursor, stage: number, limit: number): Member[] {
    return this.#after(
      cursor,
      limit,
      "(h, serial_no) <= (?, ?) AND stage <= ? AND state = 'pending' AND attempt = 0 AND wake_at IS NULL",
      until.h,
      until.serial_no,
      stage,
    );
  }

  /** Members the clock must look at now, those longest due first. */
  due(now: number, limit: number): Member[] {
    return this.#sql
      .exec<Row>(`SELECT ${COLUMNS} FROM members m WHERE wake_at <= ? ORDER BY wake_at LIMIT ?`, now, limit)
      .toArray();
  }

  /** When the clock must look at one of them next. */
  nextWake(): number | null {
    return this.#sql
      .exec<{ at: number | null }>('SELECT min(wake_at) AS at FROM members WHERE wake_at IS NOT NULL')
      .one().at;
  }

  /** How many are under way behind each gateway. */
  byGateway(): Map<string, number> {
    const rows = this.#sql.exec<{ gateway: string; n: number }>(
      `SELECT gateway, count(*) AS n FROM members INDEXED BY awake
       WHERE wake_at IS NOT NULL AND gateway IS NOT NULL AND state IN ${IN_FLIGHT} GROUP BY gateway`,
    );
    return new Map([...rows].map(({ gateway, n }) => [gateway, n]));
  }

  /** The clock must look at every member again: the policy has changed. */
  rewake(wakeAt: (member: Member) => number | null): void {
    const open = this.#select('wake_at IS NOT NULL');
    const moved = open.map((member) => ({
      member: { ...member, wake_at: wakeAt(member) },
      before: member,
    }));
    if (moved.length > 0) writeRows(this.#sql, moved);
  }

  /** Members that were offered the update and have not begun. */
  unanswered(): Member[] {
    return this.#select("wake_at IS NOT NULL AND state IN ('pending', 'offered') AND attempt > 0");
  }

  /** Some members in a state, of a stage: the first in their order, so an unbiased sample. */
  inState(stage: number, state: UpdateState, limit: number): Member[] {
    return this.#select('stage = ? AND state = ? LIMIT ?', stage, state, limit);
  }

  /** Untouched members, in any stage: what is usual for devices that were not updated. */
  control(limit: number): Member[] {
    return this.#select("state = 'pending' AND attempt = 0 ORDER BY h DESC LIMIT ?", limit);
  }

  /** Members behind the cursor that failed or went back, all or those with one error. */
  failed(cursor: Cursor, error: string | undefined, limit: number): Member[] {
    const only = error ?? null;
    return this.#after(
      cursor,
      limit,
      "state IN ('failed', 'rollback') AND (? IS NULL OR error = ?)",
      only,
      only,
    );
  }

  /** Members behind the cursor that have not ended and are not under way: not offered yet, or to be tried again. */
  waiting(cursor: Cursor, limit: number): Member[] {
    return this.#after(cursor, limit, "state IN ('pending', 'offered')");
  }

  /** Members behind the cursor that completed after a moment (Unix milliseconds). */
  completedAfter(cursor: Cursor, at: number, limit: number): Member[] {
    return this.#after(cursor, limit, "state = 'completed' AND finished_at > ?", at);
  }

  /** Stores a changed member and notes that the ledger does not know it yet. The clock looks at it at `wakeAt`. */
  save(member: Member, change: NonNullable<Change>, wakeAt: number | null, now: number): Member {
    const next: Member = {
      ...member,
      ...change,
      wake_at: wakeAt,
      updated_at: now,
      revision: member.revision + 1,
    };
    const { serial_no } = member;
    if (this.#batch === undefined) {
      writeRows(this.#sql, [{ member: next, before: member }]);
      return next;
    }
    const { before } = this.#batch.changed.get(serial_no) ?? { before: member };
    this.#batch.changed.set(serial_no, { member: next, before });
    return next;
  }

  /** Members the ledger does not know in their newest state. */
  unwritten(limit: number): Member[] {
    return this.#sql
      .exec<Row>(
        `SELECT ${COLUMNS} FROM (SELECT * FROM unwritten LIMIT ?) u CROSS JOIN members m
         ON m.h = u.h AND m.serial_no = u.serial_no`,
        limit,
      )
      .toArray();
  }

  get hasUnwritten(): boolean {
    return this.#sql.exec('SELECT 1 FROM unwritten LIMIT 1').toArray().length > 0;
  }

  /** The ledger has these now; one that has changed again meanwhile stays unwritten. */
  markWritten(written: readonly Member[]): void {
    this.#sql.exec(
      `DELETE FROM unwritten WHERE (h, serial_no) IN (
         SELECT m.h, m.serial_no FROM json_each(?) w CROSS JOIN members m
         ON m.h = w.value->>0 AND m.serial_no = w.value->>1 AND m.revision = w.value->>2)`,
      JSON.stringify(written.map((m) => [hash32(m.serial_no), m.serial_no, m.revision])),
    );
  }

  #after(cursor: Cursor, limit: number, where: string, ...values: SqlStorageValue[]): Member[] {
    return this.#select(
      `(h, serial_no) > (?, ?) AND ${where} ORDER BY h, serial_no LIMIT ?`,
      cursor.h,
      cursor.serial_no,
      ...values,
      limit,
    );
  }

  #select(where: string, ...values: SqlStorageValue[]): Member[] {
    return this.#sql.exec<Row>(`SELECT ${COLUMNS} FROM members m WHERE ${where}`, ...values).toArray();
  }
}

/** A member's place in the order, to go on behind it. */
export const placeOf = ({ serial_no }: Member): Cursor => ({ h: hash32(serial_no), serial_no });
