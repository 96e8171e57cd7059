/**
 * A campaign's members in SQLite, one row each. The primary key is the hash order of the serial number: a report
 * finds its row without an index, and a stage is a run of rows in unbiased random order, taken with a cursor.
 */
import type { UpdateState } from '../../protocol/api.ts';
import { hash32 } from '../../protocol/shards.ts';
import type { FoundDevice } from './found.ts';
import { ENDED, type Member } from './member.ts';
import {
  type Cursor,
  createTables,
  markUnwritten,
  readRows,
  selectMembers,
  writeRows,
} from './member-rows.ts';

/** Before all members. */
export const START: Cursor = { h: -1, serial_no: '' };

/** After all members. */
export const END: Cursor = { h: 2 ** 32, serial_no: '' };

/** Members read at a time where all of them are. */
const BATCH = 5000;
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
    // OR FAIL: see `member-rows.ts`.
    this.#sql.exec(
      `INSERT OR FAIL INTO members (h, serial_no, device_id, stage, state, from_version, version, gateway, zone, grp, error,
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
      added.map(({ serial_no }) => serial_no),
    );
    return added.map(({ serial_no }) => serial_no);
  }

  /** Gives members what else is fixed when they join. */
  seat(places: readonly (FoundDevice & { stage: number })[]): void {
    for (const { h, serial_no, stage, from_version, gateway, zone, grp } of places) {
      this.#sql.exec(
        'UPDATE members SET stage = ?, from_version = ?, gateway = ?, zone = ?, grp = ? WHERE h = ? AND serial_no = ?',
        ...[stage, from_version, gateway, zone, grp, h, serial_no],
      );
    }
  }

  get(serialNo: string): Member | undefined {
    const ahead = this.#batch?.changed.get(serialNo)?.member ?? this.#batch?.read.get(serialNo);
    return ahead ?? this.#select('h = ? AND serial_no = ?', hash32(serialNo), serialNo)[0];
  }

  /** These members, as far as there are such, in this order. */
  list(serialNos: readonly string[]): Member[] {
    const found = new Map(readRows(this.#sql, serialNos).map((member) => [member.serial_no, member]));
    return serialNos.flatMap((serial) => found.get(serial) ?? []);
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

  /**
   * Members the clock must look at now, those longest due first: as many that have run out of time, and as many that
   * wait for their turn. However many of these there are, they keep no room from being given back.
   */
  due(now: number, limit: number): Member[] {
    return [0, 1].flatMap((waits) =>
      this.#select('waits = ? AND wake_at <= ? ORDER BY wake_at LIMIT ?', waits, now, limit),
    );
  }

  /** When the clock must look at one of them next. */
  nextWake(): number | null {
    return this.#sql
      .exec<{ at: number | null }>(
        `SELECT min(at) AS at FROM (
           SELECT min(wake_at) AS at FROM members WHERE waits = 0 AND wake_at IS NOT NULL UNION ALL
           SELECT min(wake_at) FROM members WHERE waits = 1 AND wake_at IS NOT NULL)`,
      )
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

  /** The policy has changed, and with it when the clock must look at members. */
  rewake(anew: (member: Member) => Pick<Member, 'next_at' | 'wake_at'>): void {
    for (let cursor = START; ; ) {
      const open = this.#after(cursor, BATCH, 'wake_at IS NOT NULL');
      const last = open.at(-1);
      if (last === undefined) return;
      const moved = open.map((member) => ({ member: { ...member, ...anew(member) }, before: member }));
      writeRows(
        this.#sql,
        moved.filter(
          ({ member: { next_at, wake_at }, before }) =>
            next_at !== before.next_at || wake_at !== before.wake_at,
        ),
      );
      cursor = placeOf(last);
    }
  }

  /** Members that were offered the update and have not begun. */
  unanswered(): Member[] {
    return this.#select("wake_at IS NOT NULL AND state IN ('pending', 'offered') AND attempt > 0");
  }

  /** One of the open stages that waits for its turn, and for what; `undefined` where none does. */
  waitingFor(stage: number): { serial_no: string; detail: string } | undefined {
    return this.#sql
      .exec<{ serial_no: string; detail: string }>(
        `SELECT serial_no, detail FROM members WHERE waits = 1 AND wake_at IS NOT NULL AND stage <= ? AND error IS NULL
         AND detail IS NOT NULL ORDER BY wake_at LIMIT 1`,
        stage,
      )
      .toArray()[0];
  }

  /** Some members in a state, of a stage: the first in their order, so an unbiased sample. */
  inState(stage: number, state: UpdateState, limit: number): Member[] {
    return this.#select('stage = ? AND state = ? LIMIT ?', stage, state, limit);
  }

  /** Untouched members, in any stage: what is usual for devices that were not updated. */
  control(limit: number): Member[] {
    return this.#select("state = 'pending' AND attempt = 0 ORDER BY h DESC LIMIT ?", limit);
  }

  /**
   * Members behind the cursor whose last attempt failed or went back, all or those with one error; with that of the
   * campaign's end, those it has left out.
   */
  failed(cursor: Cursor, error: string | undefined, limit: number): Member[] {
    const only = error ?? null;
    return this.#after(
      cursor,
      limit,
      `(state IN ('failed', 'rollback') OR state = 'pending' AND offered_at IS NULL AND error IS NOT NULL
        OR state = 'skipped' AND error = '${ENDED}' AND error = ?)
       AND (? IS NULL OR error = ?)`,
      only,
      only,
      only,
    );
  }

  /** Members behind the cursor that have not ended and are not under way: not offered yet, or to be tried again. */
  waiting(cursor: Cursor, limit: number): Member[] {
    return this.#after(cursor, limit, "state IN ('pending', 'offered')");
  }

  /** Members behind the cursor that completed between two moments (Unix milliseconds; the second belongs to it). */
  completed(cursor: Cursor, { after, until }: { after: number; until: number }, limit: number): Member[] {
    return this.#after(
      cursor,
      limit,
      "state = 'completed' AND finished_at > ? AND finished_at <= ?",
      after,
      until,
    );
  }

  /** Stores a member as it has become, and notes that the ledger does not know it yet. */
  save(member: Member, before: Member): void {
    if (this.#batch === undefined) {
      writeRows(this.#sql, [{ member, before }]);
      return;
    }
    const { changed } = this.#batch;
    changed.set(member.serial_no, { member, before: changed.get(member.serial_no)?.before ?? before });
  }

  /** Members the ledger does not know in their newest state, and up to which change that is all of them. */
  unwritten(limit: number): { members: Member[]; upTo: number } {
    const { upTo } = this.#sql
      .exec<{ upTo: number | null }>(
        'SELECT max(seq) AS upTo FROM (SELECT seq FROM unwritten ORDER BY seq LIMIT ?)',
        limit,
      )
      .one();
    if (upTo === null) return { members: [], upTo: 0 };
    const members = selectMembers(
      this.#sql,
      `(SELECT DISTINCT h, serial_no FROM unwritten WHERE seq <= ?) u CROSS JOIN members m
       ON m.h = u.h AND m.serial_no = u.serial_no`,
      upTo,
    );
    return { members, upTo };
  }

  get hasUnwritten(): boolean {
    return this.#sql.exec('SELECT 1 FROM unwritten LIMIT 1').toArray().length > 0;
  }

  /** The ledger has what {@link unwritten} answered; what has changed again meanwhile stays unwritten. */
  markWritten(upTo: number): void {
    this.#sql.exec('DELETE FROM unwritten WHERE seq <= ?', upTo);
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
    return selectMembers(this.#sql, `members m WHERE ${where}`, ...values);
  }
}

/** A member's place in the order, to go on behind it. */
export const placeOf = ({ serial_no }: Member): Cursor => ({ h: hash32(serial_no), serial_no });
