/** What a campaign promises whatever happens to it: each look at it is held against the one before. */
import assert from 'node:assert/strict';
import { FAILURE_CLASSES, type FailureClass, type UpdateState } from '../../protocol/api.ts';
import type { Action, Answer, Seen, SeenMember } from './actions.ts';

const UNDER_WAY: readonly UpdateState[] = ['offered', 'downloading', 'installing', 'rebooting'];
const ENDED: readonly UpdateState[] = ['completed', 'failed', 'rollback', 'skipped'];

export interface Limits {
  max_concurrent: number;
  failure_threshold: number;
  min_sample: number;
}

export const isUnderWay = ({ state }: SeenMember): boolean => UNDER_WAY.includes(state);
export const hasEnded = ({ state }: SeenMember): boolean => ENDED.includes(state);

/** Holds a campaign to its promises, look after look. */
export class Promises {
  readonly #limits: Limits;
  #last: Seen | undefined;
  /** Acknowledged: nobody begins. With how many commands had been queued. */
  #held: { by: string; ever: number } | undefined;
  /** Took up an offer that had run out and cost no concurrency any more: nobody can hold such a device back. */
  readonly #late = new Set<string>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Throws where what is seen after the action breaks a promise. */
  hold(action: Action, { ok, seen }: Answer): void {
    this.#countersEqualRows(seen);
    const done = action.do === 'evict' ? action.during : action;
    if (this.#last !== undefined) this.#goesForward(this.#last, seen, done.do === 'retry');
    this.#noMoreThanAllowed(seen);
    this.#nobodyBeginsWhileHeld(action, ok, seen);
    if (action.do === 'check' && ok) this.#mayHaveIt(action.serial_no);
    laterStagesAreUntouched(seen);
    if (action.do === 'tick' && this.#last !== undefined) nothingIsSentOnceStopped(this.#last, seen);
    if (action.do === 'tick' && this.#last !== undefined) this.#gateHasActed(this.#last, seen);
    this.#last = seen;
  }

  #countersEqualRows({ state, members }: Seen): void {
    for (const [stage, counts] of state.counts.entries()) {
      const here = members.filter((member) => member.stage === stage);
      for (const [name, n] of Object.entries(counts)) {
        assert.equal(here.filter((m) => m.state === name).length, n, `${name} in stage ${stage}`);
      }
      for (const name of FAILURE_CLASSES) {
        const failed = here.filter((member) => failedAs(member) === name);
        assert.equal(failed.length, state.failures[stage]?.[name], `${name} failures in stage ${stage}`);
      }
    }
    const errors: Record<string, number> = {};
    for (const member of members) {
      if (failedAs(member) === undefined) continue;
      const code = member.error ?? member.state;
      errors[code] = (errors[code] ?? 0) + 1;
    }
    assert.deepEqual(state.errors, errors);
  }

  #goesForward(last: Seen, seen: Seen, retried: boolean): void {
    const before = new Map(last.members.map((member) => [member.serial_no, member]));
    assert.equal(seen.members.length, last.members.length, 'no member comes or goes');
    for (const member of seen.members) {
      const was = before.get(member.serial_no);
      assert.ok(was !== undefined);
      const what = `${member.serial_no}: ${was.state} → ${member.state}`;
      assert.ok(member.attempt >= was.attempt, `${what}, attempt ${was.attempt} → ${member.attempt}`);
      if (hasEnded(was) && !(retried && failedAs(was) !== undefined)) {
        assert.equal(member.state, was.state, what);
      }
      const sameAttempt = member.attempt === was.attempt && isUnderWay(was) && isUnderWay(member);
      if (sameAttempt) assert.ok(rank(member) >= rank(was), what);
      const tookUpLate = was.state === 'pending' && isUnderWay(member) && member.state !== 'offered';
      if (tookUpLate) this.#late.add(member.serial_no);
      else if (!isUnderWay(member)) this.#late.delete(member.serial_no);
    }
  }

  #noMoreThanAllowed({ members }: Seen): void {
    const underWay = members.filter((m) => isUnderWay(m) && !this.#late.has(m.serial_no)).length;
    assert.ok(underWay <= this.#limits.max_concurrent, `${underWay} of ${this.#limits.max_concurrent}`);
  }

  #nobodyBeginsWhileHeld(action: Action, ok: boolean, { state, queued }: Seen): void {
    const done = action.do === 'evict' ? action.during : action;
    // Whether one that was broken off has done it, only the state says.
    const isResumed = done.do === 'resume' && (ok || action.do === 'evict');
    const isBegunAnew = done.do === 'retry' && state.status === 'active';
    if (isResumed || isBegunAnew) this.#held = undefined;
    if (this.#held !== undefined) {
      assert.equal(queued.ever, this.#held.ever, `commands after the acknowledged ${this.#held.by}`);
      assert.equal(queued.waiting, 0);
      assert.notEqual(state.status, 'active');
    }
    if (ok && (done.do === 'pause' || done.do === 'cancel')) {
      this.#held = { by: done.do, ever: queued.ever };
      assert.equal(queued.waiting, 0);
    }
  }

  /** A device that asked was given its update: while nobody may begin, only one that had begun. */
  #mayHaveIt(serialNo: string): void {
    if (this.#held === undefined) return;
    const was = this.#last?.members.find(({ serial_no }) => serial_no === serialNo);
    assert.ok(
      was !== undefined && isUnderWay(was) && was.state !== 'offered',
      `${serialNo} is given its update after the acknowledged ${this.#held.by}`,
    );
  }

  /** What a tick finds stops the campaign; what comes of the tick itself, the next one. */
  #gateHasActed(last: Seen, seen: Seen): void {
    const goesOn = seen.state.status === 'active' && seen.state.stage === last.state.stage;
    assert.ok(
      !(goesOn && this.#hasTooManyFailures(last) && this.#hasTooManyFailures(seen)),
      'the gate is asleep',
    );
  }

  #hasTooManyFailures({ state, members }: Seen): boolean {
    return state.counts.slice(0, state.stage + 1).some((_, stage) => {
      const own = members.filter((member) => member.stage === stage && member.state !== 'skipped');
      const finished = own.filter(hasEnded).length;
      const accepted = state.accepted[stage]?.failures ?? 0;
      const failed = own.filter((member) => failedAs(member) !== undefined).length - accepted;
      const sampled = finished >= Math.min(this.#limits.min_sample, own.length);
      return (100 * failed) / (sampled ? finished : own.length) > this.#limits.failure_threshold;
    });
  }
}

/** What stopped it, a gate or an operator: no command is left that a broker could still be given. */
function nothingIsSentOnceStopped(last: Seen, { state, queued }: Seen): void {
  const stood = last.state.status !== 'active' && state.status !== 'active';
  assert.ok(!stood || queued.waiting === 0, `${queued.waiting} commands wait while it is ${state.status}`);
}

function laterStagesAreUntouched({ state, members }: Seen): void {
  const touched = members.find(({ stage, attempt }) => stage > state.stage && attempt > 0);
  assert.equal(touched, undefined, `stage ${state.stage} is open`);
}

function failedAs({ state, failure }: SeenMember): FailureClass | undefined {
  return state === 'failed' || state === 'rollback' ? (failure ?? 'failed') : undefined;
}

const rank = ({ state }: SeenMember): number => UNDER_WAY.indexOf(state);

/** No device has two updates under way. */
export function oneUpdateADevice(campaigns: readonly Seen[]): void {
  const busy = campaigns.flatMap(({ members }) => members.filter(isUnderWay).map((m) => m.serial_no));
  assert.equal(new Set(busy).size, busy.length, 'two updates under way on one device');
}
