/**
 * One run of a rehearsal: the engine itself, its members and its gates, with a clock that jumps to the next moment at
 * which anything can happen.
 */
import type { Book } from '../book.ts';
import { endInTime } from '../end.ts';
import { passGates } from '../gates.ts';
import type { Member } from '../member.ts';
import { afterTime } from '../member-clock.ts';
import { afterHeartbeat, afterReport } from '../member-reports.ts';
import { chooseNext, grant } from '../offering.ts';
import { rateNow } from '../pace.ts';
import { waitForWindow } from '../windows.ts';
import { isThere, type PastUpdates, play, type RecordedDevice, thereFrom } from './player.ts';

/** A run that takes longer counts as unfinished. */
const HORIZON_MS = 60 * 86_400_000;
/** So does one with more ticks. */
const TICKS = 20_000;
const TICK_MS = 1000;
const MINUTE_MS = 60_000;
const DUE = 20_000;
/** How long a device that is there takes to begin. */
const BEGINS_MS = 2000;

/** What a run was like. Times are Unix milliseconds. */
export interface Run {
  ended: 'completed' | 'paused' | 'rolled_back' | 'unfinished';
  reason: string | null;
  stage: number;
  took_ms: number;
  /** When each stage opened, and passed. */
  opened: number[];
  passed: number[];
  /** Members that had not begun when its `end_at` came. */
  leftOut: number;
  peakConcurrent: number;
  peakStartsPerMinute: number;
  /** Downloads that began, second tries among them. */
  starts: number;
  progress: { at: number; completed: number; failed: number }[];
}

interface Happening {
  at: number;
  serial_no: string;
  what: 'begins' | 'ends' | 'returns';
  attempt: number;
}

/** Plays a campaign that has its members but has offered nothing yet, from `began` on; the fleet's record ends at `recorded`. */
export class Rehearsed {
  readonly #book: Book;
  readonly #devices: ReadonlyMap<string, RecordedDevice>;
  readonly #past: PastUpdates;
  readonly #seed: number;
  readonly #began: number;
  readonly #recorded: number;
  readonly #opened: number[];
  readonly #passed: number[] = [];
  readonly #startsByMinute = new Map<number, number>();
  #happenings: Happening[] = [];
  #progress: Run['progress'] = [];
  #peak = 0;

  constructor(
    book: Book,
    devices: ReadonlyMap<string, RecordedDevice>,
    past: PastUpdates,
    seed: number,
    began: number,
    recorded: number,
  ) {
    this.#book = book;
    this.#devices = devices;
    this.#past = past;
    this.#seed = seed;
    this.#began = began;
    this.#recorded = recorded;
    this.#opened = [began];
  }

  run(): Run {
    const { state } = this.#book;
    let now = this.#began;
    for (let tick = 0; tick < TICKS && state.status === 'active'; tick += 1) {
      this.#happen(now);
      this.#tick(now);
      this.#note(now);
      if (state.status !== 'active') break;
      const next = this.#nextMoment(now);
      if (next === undefined || next - this.#began > HORIZON_MS) break;
      now = next;
    }
    return {
      ended: state.status === 'active' || state.status === 'cancelled' ? 'unfinished' : state.status,
      reason: state.reason,
      stage: state.stage,
      took_ms: now - this.#began,
      opened: this.#opened,
      passed: this.#passed,
      leftOut: state.counts.reduce((sum, { skipped }) => sum + skipped, 0),
      peakConcurrent: this.#peak,
      peakStartsPerMinute: Math.max(0, ...this.#startsByMinute.values()),
      starts: [...this.#startsByMinute.values()].reduce((sum, n) => sum + n, 0),
      progress: this.#progress,
    };
  }

  /** What devices do at this moment or have done since the last. */
  #happen(now: number): void {
    const due = this.#happenings.filter(({ at }) => at <= now);
    if (due.length === 0) return;
    this.#happenings = this.#happenings.filter(({ at }) => at > now);
    this.#book.decide(due, (member, happening) => this.#afterHappening(member, happening, now), now);
  }

  #afterHappening(member: Member, { what, attempt }: Happening, now: number) {
    const { policy } = this.#book;
    if (what === 'returns') return afterHeartbeat(member, false, now, true);
    if (member.attempt !== attempt) return undefined;
    const report = { campaign_id: '', timestamp: 0 };
    if (what === 'begins') return afterReport(member, { ...report, status: 'downloading' }, policy, now);
    const { ending } = play(member.serial_no, attempt, this.#seed, this.#past);
    if (ending === 'timeout') return undefined;
    if (ending === 'completed' && policy.kind !== 'download_only') return afterHeartbeat(member, true, now);
    return afterReport(member, { ...report, status: ending, error: ending }, policy, now);
  }

  #tick(now: number): void {
    const book = this.#book;
    book.sweepOn(now);
    const due = book.decide(book.members.due(now, DUE), (member) => afterTime(member, book.policy, now), now);
    endInTime(book, now);
    const before = book.state.stage;
    passGates(book, now);
    for (let stage = before; stage < book.state.stage; stage += 1) {
      this.#passed[stage] = now;
      this.#opened[stage + 1] = now;
    }
    if (book.state.status === 'completed' && book.state.closed === null) this.#passed[book.state.stage] = now;
    if (book.state.status !== 'active') return;
    const choice = chooseNext(book, due, now);
    const offline = choice.chosen
      .map(({ serial_no }) => serial_no)
      .filter((serial) => !this.#isThere(serial, now));
    const offered = grant(book, choice, { refused: {}, offline }, now);
    book.pace.giveBack(choice.chosen.length - offered.length);
    for (const serial of offline) this.#isAwaited(serial, now);
    for (const member of offered) this.#isOffered(member, now);
  }

  #isThere(serialNo: string, now: number): boolean {
    const presence = this.#devices.get(serialNo)?.presence;
    return presence !== undefined && isThere(presence, now, this.#recorded);
  }

  #isAwaited(serial_no: string, now: number): void {
    const presence = this.#devices.get(serial_no)?.presence;
    const back = presence && thereFrom(presence, now, this.#recorded);
    if (back !== undefined) this.#happenings.push({ at: back, serial_no, what: 'returns', attempt: 0 });
  }

  /** It begins, and ends when it does. */
  #isOffered({ serial_no, attempt }: Member, now: number): void {
    const { tookMs } = play(serial_no, attempt, this.#seed, this.#past);
    const begins = now + BEGINS_MS;
    this.#happenings.push({ at: begins, serial_no, what: 'begins', attempt });
    this.#happenings.push({ at: begins + tookMs, serial_no, what: 'ends', attempt });
    const minute = Math.floor(begins / MINUTE_MS);
    this.#startsByMinute.set(minute, (this.#startsByMinute.get(minute) ?? 0) + 1);
  }

  /** When something can happen next; `undefined` where nothing ever does. */
  #nextMoment(now: number): number | undefined {
    const { state, definition, members } = this.#book;
    const { windows, stages, end_at } = definition.policy;
    const moments = this.#happenings.map(({ at }) => at);
    const wake = members.nextWake();
    if (wake !== null) moments.push(wake);
    const bakes = state.stage_opened_at + (stages[state.stage]?.min_duration_s ?? 0) * 1000;
    if (bakes > now) moments.push(bakes);
    if (end_at != null && Date.parse(end_at) > now) moments.push(Date.parse(end_at));
    const room = definition.policy.max_concurrent - this.#book.inFlight;
    if (room > 0 && this.#book.untouched(1).length > 0) {
      const pace = this.#book.pace.wait(rateNow(definition.policy, this.#book.completed));
      moments.push(now + Math.max(pace, waitForWindow(windows, null, now)));
    }
    if (moments.length === 0) return undefined;
    // A tick a second, as when it runs; nothing is looked at twice in one.
    return Math.max(
      now + TICK_MS,
      moments.reduce((least, at) => Math.min(least, at)),
    );
  }

  #note(at: number): void {
    const { counts } = this.#book.state;
    this.#peak = Math.max(this.#peak, this.#book.inFlight);
    const failed = counts.reduce((sum, c) => sum + c.failed + c.rollback, 0);
    const { completed } = this.#book;
    const last = this.#progress.at(-1);
    if (last?.completed === completed && last.failed === failed) return;
    this.#progress.push({ at, completed, failed });
  }
}
