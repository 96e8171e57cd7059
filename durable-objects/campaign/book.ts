/** A campaign's state and its members, which always change together: the counters equal the rows. */
import type { FailureClass, UpdateState } from '../../protocol/api.ts';
import type { CampaignState, Definition } from './definition.ts';
import { type Change, isFinal, type Member, skip, wakeAt } from './member.ts';
import type { Members } from './members.ts';
import { inFlight, total } from './stages.ts';
import { withTimes } from './tries.ts';

/** Members changed in one go. */
const BATCH = 1000;

export class Book {
  readonly state: CampaignState;
  readonly members: Members;
  /** Percentages of downloads by serial number; only in memory. */
  readonly progress = new Map<string, number>();
  /** Counts the changes of members. */
  changes = 0;
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage, members: Members, state: CampaignState) {
    this.#storage = storage;
    this.members = members;
    this.state = state;
  }

  /** The book as it was kept; `undefined` before the campaign has begun. */
  static open(storage: DurableObjectStorage, members: Members): Book | undefined {
    const definition = storage.kv.get<Definition>('definition');
    const state = storage.kv.get<Omit<CampaignState, 'definition'>>('state');
    if (definition === undefined || state === undefined) return undefined;
    members.upgrade();
    return new Book(storage, members, { ...state, definition });
  }

  get definition(): Definition {
    return this.state.definition;
  }

  /** Members whose update is under way. */
  get inFlight(): number {
    return this.state.counts.reduce((sum, counts) => sum + inFlight(counts), 0);
  }

  /** All members. */
  get size(): number {
    return this.state.counts.reduce((sum, counts) => sum + total(counts), 0);
  }

  get completed(): number {
    return this.state.counts.reduce((sum, counts) => sum + counts.completed, 0);
  }

  /** Writes the state; the members' rows are written as they change. */
  keep(): void {
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
    Object.assign(this.state, { status, reason, unwritten: true });
    this.keep();
  }

  /** Applies a change to a member and to the counters. */
  move(member: Member, change: Change, now: number): Member {
    if (change === undefined) return member;
    const timed = withTimes(member, change, now);
    const changed = { ...member, ...timed };
    const next = this.members.save(member, timed, wakeAt(changed, this.definition.policy), now);
    const counts = this.state.counts[member.stage];
    if (counts !== undefined) {
      counts[member.state] -= 1;
      counts[next.state] += 1;
    }
    this.#countFailure(member, -1);
    this.#countFailure(next, 1);
    if (isFinal(next.state)) this.progress.delete(member.serial_no);
    this.changes += 1;
    return next;
  }

  /** Skips everybody who has not begun. */
  skipWaiting(error: string, detail: string, now: number): void {
    for (let left = this.members.waiting(BATCH); left.length > 0; left = this.members.waiting(BATCH)) {
      for (const member of left) this.move(member, skip(member, error, detail, now), now);
    }
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
