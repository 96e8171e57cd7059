/** Every device of a shard in memory, remembered in SQLite: a row when it is first heard, its times in one packed blob. */
import type { DeviceRow } from '../../store/devices.ts';
import { pack, unpack } from './packed.ts';
import { COARSE_MS, type Presence, patientUntil, type Recorded } from './presence.ts';
import { TimeWheel } from './time-wheel.ts';

/**
 * What changed in memory is in the blob after this long: a shard to which nothing happens for ten seconds loses its
 * memory. Busy shards write it whenever the wheel turns.
 */
const FLUSH_MS = 9000;
/** The wheel's widest bucket: the alarm rings once for both. */
const WIDEST_MS = 8000;
/** An alarm later than this means that nobody was listening. */
const OUTAGE_MS = 20_000;
/** What could not be done is tried again after this. */
const AGAIN_MS = 5000;

export class Presences {
  readonly #sql: SqlStorage;
  readonly #devices = new Map<string, Presence>();
  readonly #wheel = new TimeWheel<Presence>(1000);
  readonly #freeSlots: number[] = [];
  #slots = 0;
  #offlineAfterMs: number;
  /** Since when a device that speaks is heard. */
  #listeningSince = 0;
  #dirtySince: number | undefined;
  #outdated: Presence[] = [];
  /** When the alarm is to ring. */
  #alarmAt: number | undefined;

  /** Remembers what was known before an eviction. `offlineAfterMs`: a device silent for longer is offline. */
  constructor(sql: SqlStorage, offlineAfterMs: number, now: number) {
    this.#sql = sql;
    this.#offlineAfterMs = offlineAfterMs;
    sql.exec('CREATE TABLE IF NOT EXISTS slots (slot INTEGER PRIMARY KEY, serial_no TEXT NOT NULL)');
    createPacked(sql);
    this.#remember(now);
    this.patience(offlineAfterMs);
  }

  get(serialNo: string): Presence | undefined {
    return this.#devices.get(serialNo);
  }

  /**
   * The device that has this record in the ledger; known from now on. It is offline where the ledger says so: that is
   * written first, and what is remembered may be from before. Only who counts as offline here too is brought back there
   * by a heartbeat.
   */
  meet({ serialNo, status }: Pick<DeviceRow, 'serialNo' | 'status'>, record: Recorded): Presence {
    const online = status !== 'offline';
    const known = this.#devices.get(serialNo) ?? this.#add(serialNo, online, record.last_seen);
    if (!online) known.online = false;
    known.last_seen = Math.max(known.last_seen, record.last_seen);
    known.record = record;
    return known;
  }

  /** It was heard. `online` also brings it back. */
  heard(known: Presence, at: number, online: boolean): void {
    known.last_seen = Math.max(known.last_seen, at);
    this.#changed();
    if (!online || known.online) return;
    known.online = true;
    this.#time(known);
  }

  gone(known: Presence): void {
    known.online = false;
    this.#changed();
  }

  /** No such device any more. */
  remove(serialNo: string): void {
    const known = this.#devices.get(serialNo);
    if (known === undefined) return;
    known.online = false;
    this.#devices.delete(serialNo);
    this.#freeSlots.push(known.slot);
    this.#sql.exec('DELETE FROM slots WHERE slot = ?', known.slot);
    this.#changed();
    // Whoever gets the slot next must not inherit what the blob says of it.
    this.flush();
  }

  /** Takes out the devices that have been silent for too long. */
  silent(now: number): Presence[] {
    return this.#wheel.take(now).filter((known) => {
      known.timed = false;
      if (!known.online || this.#devices.get(known.serial_no) !== known) return false;
      if (patientUntil(known, this.#listeningSince, this.#offlineAfterMs) <= now) return true;
      if (known.record !== undefined && known.last_seen - known.record.last_seen > COARSE_MS) {
        this.#outdated.push(known);
      }
      this.#time(known);
      return false;
    });
  }

  /** Takes out the devices whose `last_seen` in the ledger is too old, once they are many enough for a statement. */
  outdated(atLeast: number): Presence[] {
    return this.#outdated.length < atLeast ? [] : this.#outdated.splice(0);
  }

  /** Those taken out as silent were not dealt with: they come out again a little later. */
  again(silent: readonly Presence[], now: number): void {
    for (const known of silent) {
      known.timed = true;
      this.#wheel.add(known, now + AGAIN_MS);
    }
  }

  /** Nobody was listening until now: every device gets its full time again. */
  listenFrom(now: number): void {
    this.#listeningSince = now;
    this.#sql.exec('UPDATE packed SET listening_since = ?', now);
  }

  /** Somebody is there again: an alarm that is to ring still, and was long ago, says that nobody was. */
  woke(now: number): void {
    if (this.#alarmAt !== undefined && now - this.#alarmAt > OUTAGE_MS) this.listenFrom(now);
  }

  /** The alarm rings. */
  rang(now: number): void {
    this.woke(now);
    this.#alarmAt = undefined;
  }

  /** An alarm is to ring at `at`, or none: written together with what changed, so that it costs one row. */
  sleepUntil(at: number | undefined): void {
    this.#alarmAt = at;
    if (this.#isDue) this.flush();
    else this.#sql.exec('UPDATE packed SET alarm_at = ?', at ?? null);
  }

  /** Changes after how long a silent device is offline. */
  patience(offlineAfterMs: number): void {
    this.#offlineAfterMs = offlineAfterMs;
    this.#wheel.reset(Math.min(WIDEST_MS, Math.max(1000, offlineAfterMs / 30)));
    for (const known of this.#devices.values()) {
      known.timed = false;
      if (known.online) this.#time(known);
    }
  }

  /** When there is something to do next, Unix milliseconds. What {@link sleepUntil} does is none of it. */
  get nextAt(): number | undefined {
    const flushAt = this.#dirtySince === undefined || this.#isDue ? undefined : this.#dirtySince + FLUSH_MS;
    const wheelAt = this.#wheel.nextAt;
    return flushAt === undefined || wheelAt === undefined ? (flushAt ?? wheelAt) : Math.min(flushAt, wheelAt);
  }

  /** What changed has waited for long enough to be written on this occasion. */
  get #isDue(): boolean {
    return this.#dirtySince !== undefined && Date.now() - this.#dirtySince >= FLUSH_MS / 2;
  }

  /** Writes the blob, where anything has changed since it was written. One row. */
  flush(): void {
    if (this.#dirtySince === undefined) return;
    this.#sql.exec(
      'UPDATE packed SET presences = ?, alarm_at = ?, is_behind = 0',
      pack(this.#devices.values(), this.#slots).buffer,
      this.#alarmAt ?? null,
    );
    this.#dirtySince = undefined;
  }

  /** The blob is behind from now on, and that is noted: a crash must not make silence of what was heard. */
  #changed(): void {
    if (this.#dirtySince !== undefined) return;
    this.#dirtySince = Date.now();
    this.#sql.exec('UPDATE packed SET is_behind = 1');
  }

  #add(serialNo: string, online: boolean, lastSeen: number): Presence {
    const slot = this.#freeSlots.pop() ?? this.#slots++;
    this.#sql.exec('INSERT INTO slots (slot, serial_no) VALUES (?, ?)', slot, serialNo);
    const known: Presence = {
      serial_no: serialNo,
      slot,
      online,
      last_seen: lastSeen,
      said_at: 0,
      gone_at: 0,
      timed: false,
      readings: {},
      record: undefined,
    };
    this.#devices.set(serialNo, known);
    this.#changed();
    if (known.online) this.#time(known);
    return known;
  }

  #remember(now: number): void {
    const packed = this.#sql
      .exec<{
        presences: ArrayBuffer | null;
        alarm_at: number | null;
        listening_since: number | null;
        is_behind: number | null;
      }>('SELECT presences, alarm_at, listening_since, is_behind FROM packed')
      .one();
    this.#alarmAt = packed.alarm_at ?? undefined;
    this.#listeningSince = packed.listening_since ?? 0;
    const blob = packed.presences ?? new ArrayBuffer(0);
    let isBehind = packed.is_behind === 1;
    for (const { slot, serial_no } of this.#sql.exec<{ slot: number; serial_no: string }>(
      'SELECT slot, serial_no FROM slots ORDER BY slot',
    )) {
      for (; this.#slots < slot; this.#slots += 1) this.#freeSlots.push(this.#slots);
      this.#slots = slot + 1;
      const stored = unpack(blob, slot);
      isBehind ||= stored === undefined;
      this.#devices.set(serial_no, {
        serial_no,
        slot,
        // Met just before the memory was lost: taken for online, so that it is judged at all.
        ...(stored ?? { online: true, last_seen: 0, said_at: 0 }),
        gone_at: 0,
        timed: false,
        readings: {},
        record: undefined,
      });
    }
    if (!isBehind) return;
    // Somebody may have been heard of whom the blob knows nothing.
    this.listenFrom(now);
    this.#dirtySince = now;
  }

  #time(known: Presence): void {
    if (known.timed) return;
    known.timed = true;
    this.#wheel.add(known, patientUntil(known, this.#listeningSince, this.#offlineAfterMs));
  }
}

/** One row. Its columns have become more. */
function createPacked(sql: SqlStorage): void {
  sql.exec('CREATE TABLE IF NOT EXISTS packed (id INTEGER PRIMARY KEY, presences BLOB, alarm_at INTEGER)');
  const columns = sql.exec<{ name: string }>("SELECT name FROM pragma_table_info('packed')").toArray();
  for (const name of ['listening_since', 'is_behind'])
    if (!columns.some((column) => column.name === name))
      sql.exec(`ALTER TABLE packed ADD COLUMN ${name} INTEGER`);
  sql.exec('INSERT OR IGNORE INTO packed (id) VALUES (0)');
}
