/** A campaign's state and its members, which always change together: the counters equal the rows. */
import type { CampaignPolicy, FailureClass, UpdateState } from '../../protocol/api.ts';
import type { CampaignState, Definition } from './definition.ts';
import type { FoundDevice } from './found.ts';
import { type Change, isFinal, letGo, type Member, NO_ANSWER, skip, takeIn } from './member.ts';
import { wakeAt } from './member-clock.ts';
import type { Cursor } from './member-rows.ts';
import { END, type Members, placeOf, START } from './members.ts';
import { Pace } from './pace.ts';
import { inFlight, participants, total } from './stages.ts';
import { withTimes } from './tries.ts';

/** Members skipped in one go. */
const SWEEP = 20_000;
/** How many of the latest changed members are remembered. */
const RECENT = 100;

export class Book {
  readonly state: CampaignState;
  readonly members: Members;
  readonly pace: Pace;
  /** Percentages of downloads by serial number; only in memory. */
  readonly progress = new Map<string, number>();
  /** When that was said, Unix seconds of the device's clock. */
  readonly #progressAt = new Map<string, number>();
  /** Counts the changes of members. */
  changes = 0;
  /** The last untouched member of a stage, once it is known: the rows behind it need not be looked through again. */
  horizon: { stage: number; cursor: Cursor } | undefined;
  readonly #storage: DurableObjectStorage;
  /** Members that changed since it was kept, the latest last. */
  readonly #touched = new Set<string>();
  /** Whether anything is kept: a campaign that was refused its beginning leaves no trace. */
  #begun = false;

  constructor(storage: DurableObjectStorage, members: Members, state: CampaignState) {
    this.#storage = storage;
    this.members = members;
    this.state = state;
    this.pace = new Pace(state.pace);
  }

  /** The book as it was kept; `undefined` before the campaign has begun. */
  static open(storage: DurableObjectStorage, members: Members): Book | undefined {
    const definition = storage.kv.get<Definition>('definition');
    const state = storage.kv.get<Omit<CampaignState, 'definition'>>('state');
    if (definition === undefined || state === undefined) return undefined;
    // One that was kept by an earlier release lacks what came later.
    const since = {
      closed: null,
      control: null,
      passed_at: {},
      stopped_by: null,
      accepted: [],
      silence: [],
      back: [],
      pace: null,
      take_back_until: null,
      taken_back: 0,
      withdraws: false,
      revision: 0,
    };
    const book = new Book(storage, members, { ...since, ...state, definition });
    book.#begun = true;
    return book;
  }

  /** From here on all is kept. */
  begin(): void {
    this.#begun = true;
    this.keepDefinition();
    this.keep();
  }

  get definition(): Definition {
    return this.state.definition;
  }

  /** The policy as it is for members under way: once nobody begins any more, no attempt is followed by another. */
  get policy(): CampaignPolicy {
    const { policy } = this.definition;
    return this.state.closed === null ? policy : { ...policy, max_attempts: 1 };
  }

  /** Members whose update is under way. */
  get inFlight(): number {
    return this.state.counts.reduce((sum, counts) => sum + inFlight(counts), 0);
  }

  /** All members. */
  get size(): number {
    return this.state.counts.reduce((sum, counts) => sum + total(counts), 0);
  }

  /** Whether nobody takes part yet, and whoever comes to match joins. */
  get isEmpty(): boolean {
    const { counts, closed, preparing, definition } = this.state;
    const isOpen = definition.target.dynamic === true && closed === null && preparing === null;
    return isOpen && counts.every((stage) => participants(stage) === 0);
  }

  get completed(): number {
    return this.state.counts.reduce((sum, counts) => sum + counts.completed, 0);
  }

  /** Writes the state; the members' rows are written as they change. */
  keep(): void {
    if (!this.#begun) return;
    if (this.#touched.size > 0) {
      const before = this.state.recent.filter((serial) => !this.#touched.has(serial));
      this.state.recent = [...before, ...this.#touched].slice(-RECENT);
      this.#touched.clear();
    }
    this.state.pace = this.pace.level;
    const { definition: _, ...state } = this.state;
    this.#storage.kv.put('state', state);
  }

  /** Writes the definition: at the beginning, and when the policy changes. */
  keepDefinition(): void {
    const { serial_nos: _, ...target } = this.definition.target;
    // The members are known by now, and a long list of them may be larger than a value can be.
    this.#storage.kv.put('definition', { ...this.definition, target });
  }

  enter(status: CampaignState['status'], reason: string | null): void {
    Object.assign(this.state, { status, reason, revision: this.state.revision + 1, unwritten: true });
    this.keep();
  }

  /** Takes in members, each in its stage; those that are there already stay as they are. */
  join(members: readonly (FoundDevice & { stage: number })[], now: number): void {
    const added = new Set(this.members.add(members, now));
    for (const { serial_no, stage, error } of members) {
      const counts = this.state.counts[stage];
      if (counts === undefined || !added.has(serial_no)) continue;
      counts[error === null ? 'pending' : 'skipped'] += 1;
      if (this.state.recent.length < RECENT) this.state.recent.push(serial_no);
    }
    this.changes += added.size;
  }

  /** The same for devices that may have been left out before: these take their new places. */
  rejoin(members: readonly (FoundDevice & { stage: number })[], now: number): void {
    const before = new Map(this.members.list(members.map((m) => m.serial_no)).map((m) => [m.serial_no, m]));
    this.join(members, now);
    const again = members.flatMap((place) => {
      const member = before.get(place.serial_no);
      return member === undefined ? [] : [{ member, place }];
    });
    this.members.seat(again.map(({ place }) => place));
    for (const { member, place } of again) {
      const [from, to] = [this.state.counts[member.stage], this.state.counts[place.stage]];
      if (from !== undefined) from.skipped -= 1;
      if (to !== undefined) to.skipped += 1;
      const { stage, from_version, gateway, zone, grp } = place;
      const seated = { ...member, stage, from_version, gateway, zone, grp };
      this.move(seated, takeIn(seated), now);
    }
  }

  /** The first members have come: the first stage opens with them. */
  beginAnew(now: number): void {
    const fresh = { stage: 0, stage_opened_at: now, passed_at: {}, released: false, cursor: START };
    Object.assign(this.state, fresh);
    this.horizon = undefined;
  }

  /**
   * Decides about many members in one go, each as the decision before has left it: one row read and written for each
   * device, whatever it has said.
   */
  decide<Item extends { serial_no: string }>(
    items: readonly Item[],
    decision: (member: Member, item: Item) => Change,
    now: number,
  ): Member[] {
    const serials = [...new Set(items.map(({ serial_no }) => serial_no))];
    return this.members.batch(serials, () =>
      items.flatMap((item) => {
        const member = this.members.get(item.serial_no);
        return member === undefined ? [] : [this.move(member, decision(member, item), now)];
      }),
    );
  }

  /** How far a download is; what was said before the latest says nothing. */
  noteProgress(serialNo: string, percent: number, saidAt: number): void {
    if (saidAt < (this.#progressAt.get(serialNo) ?? 0)) return;
    this.progress.set(serialNo, percent);
    this.#progressAt.set(serialNo, saidAt);
  }

  #forgetProgress(serialNo: string): void {
    this.progress.delete(serialNo);
    this.#progressAt.delete(serialNo);
  }

  /** Untouched members of the stages that are open, behind the cursor, in their order. */
  untouched(limit: number): Member[] {
    const { stage, cursor } = this.state;
    const until = this.horizon?.stage === stage ? this.horizon.cursor : undefined;
    const members = this.members.untouched(cursor, until ?? END, stage, limit);
    const last = members.at(-1);
    if (until === undefined && members.length < limit)
      this.horizon = { stage, cursor: last === undefined ? cursor : placeOf(last) };
    return members;
  }

  /** Applies a change to a member and to the counters. */
  move(member: Member, change: Change, now: number): Member {
    if (change === undefined) return member;
    const timed = withTimes(member, this.#unlessClosed(member, change, now), now);
    const next: Member = { ...member, ...timed, updated_at: now, revision: member.revision + 1 };
    next.wake_at = wakeAt(next, this.definition.policy);
    this.members.save(next, member);
    const counts = this.state.counts[member.stage];
    if (counts !== undefined) {
      counts[member.state] -= 1;
      counts[next.state] += 1;
    }
    this.#countFailure(member, -1);
    this.#countFailure(next, 1);
    if (isFinal(next.state) || next.state === 'pending') this.#forgetProgress(member.serial_no);
    this.#touched.delete(member.serial_no);
    this.#touched.add(member.serial_no);
    this.changes += 1;
    return next;
  }

  /** Whoever would wait for its turn, or for another try, has none any more; who never answered has not failed. */
  #unlessClosed(member: Member, change: NonNullable<Change>, now: number): NonNullable<Change> {
    const { closed } = this.state;
    const isNotBegun =
      change.state === 'pending' || (member.state === 'offered' && change.error === NO_ANSWER);
    if (closed === null || !isNotBegun) return change;
    return {
      ...change,
      failure: null,
      ...skip({ ...member, state: 'pending' }, closed.error, closed.detail, now),
    };
  }

  /** Everybody who has not begun is skipped from now on; many of them take several ticks. */
  sweep(error: string, detail: string, now: number): void {
    const { closed, stage } = this.state;
    this.state.closed = { error, detail, stage: closed?.stage ?? stage };
    // Once: after the end this is said anew in every tick.
    if (closed === null) this.state.withdraws = true;
    if (this.state.counts.every(({ pending, offered }) => pending + offered === 0)) return;
    this.state.sweep = { error, detail, cursor: START };
    this.sweepOn(now);
  }

  /** Goes on skipping where that has not come to its end. */
  sweepOn(now: number): void {
    const { sweep } = this.state;
    if (sweep === null) return;
    const members = this.members.waiting(sweep.cursor, SWEEP);
    this.decide(members, (member) => letGo(member, sweep.error, sweep.detail, now), now);
    const last = members.at(-1);
    if (last === undefined || members.length < SWEEP) this.state.sweep = null;
    else sweep.cursor = placeOf(last);
    this.keep();
  }

  #countFailure({ stage, state, failure, error }: Member, n: 1 | -1): void {
    if (!isFailure(state)) return;
    const classes = this.state.failures[stage];
    const name: FailureClass = failure ?? 'failed';
    if (classes !== undefined) classes[name] += n;
    const code = error ?? state;
    const count = (this.state.errors[code] ?? 0) + n;
    if (count > 0) this.state.errors[code] = count;
    else delete this.state.errors[code];
  }
}

const isFailure = (state: UpdateState): boolean => state === 'failed' || state === 'rollback';
