/** Judging the open stage, and opening the next. */
import type { Stage } from '../../protocol/api.ts';
import type { Book } from './book.ts';
import { exceeded, judge, NOTHING_ACCEPTED } from './gate.ts';
import { START } from './members.ts';
import { type Counts, emptyCounts, noFailures, participants, unfinished } from './stages.ts';

/** Judges the open stage, and the next one when it passes; at the end of the last the campaign finishes. */
export function passGates(book: Book, now: number): void {
  const { state, definition } = book;
  const { stages } = definition.policy;
  if (book.isEmpty) {
    state.reason = 'no device matches yet; those that come to match join';
    return;
  }
  const late = behind(book);
  if (late !== undefined) {
    stop(book, late, now);
    return;
  }
  for (let open = stages[state.stage]; open !== undefined; open = stages[state.stage]) {
    const isLast = state.stage === stages.length - 1;
    const verdict = judge({
      ...inputOf(book, open, state.stage),
      proven: isLast || hasShown(book),
      open_ms: now - state.stage_opened_at,
    });
    if (verdict.kind === 'stop') {
      stop(book, { reason: verdict.reason, stage: state.stage }, now);
      return;
    }
    if (verdict.kind === 'wait' && !(state.released && !isLast)) {
      state.reason = verdict.reason;
      return;
    }
    if (isLast) {
      finish(book, now);
      return;
    }
    const next = stages[state.stage + 1];
    if (next?.start === 'manual' && !state.released) {
      state.reason = `stage "${open.name}" has passed; "${next.name}" waits for an operator to open it`;
      return;
    }
    openStage(book, state.stage + 1, now);
  }
}

interface Stopping {
  reason: string;
  /** The stage whose members it was. */
  stage: number;
}

/** Why one of the stages that have passed stops the campaign, by what its last members did after that. */
function behind(book: Book): Stopping | undefined {
  const passed = book.definition.policy.stages.slice(0, book.state.stage);
  for (const [index, stage] of passed.entries()) {
    const reason = exceeded(inputOf(book, stage, index));
    if (reason !== undefined) return { reason, stage: index };
  }
  return undefined;
}

/** Whether a stage before the open one had devices, which passed; where none is left behind it, nobody needs to be shown. */
function hasShown({ state: { counts, stage } }: Book): boolean {
  const takingPart = (some: readonly Counts[]) => some.some((each) => participants(each) > 0);
  return takingPart(counts.slice(0, stage)) || !takingPart(counts.slice(stage + 1));
}

/** What a stage's gate looks at. */
const inputOf = ({ state, definition: { policy } }: Book, stage: Stage, index: number) => ({
  stage,
  policy,
  counts: state.counts[index] ?? emptyCounts(),
  failures: state.failures[index] ?? noFailures(),
  accepted: state.accepted[index] ?? NOTHING_ACCEPTED,
  silent: state.silence[index] ?? 0,
  back: state.back[index] ?? 0,
});

function openStage({ state, definition }: Book, stage: number, now: number): void {
  Object.assign(state, {
    stage,
    revision: state.revision + 1,
    stage_opened_at: now,
    passed_at: { ...state.passed_at, [stage - 1]: now },
    released: false,
    reason: null,
    unwritten: true,
  });
  // A group's members lie anywhere in the order, so the next stage's may lie before what was claimed.
  if (definition.policy.stages.some(({ group }) => group !== undefined)) state.cursor = START;
}

/** The gate has stopped the campaign: it pauses, or ends and takes back who completed it. */
function stop(book: Book, { reason, stage }: Stopping, now: number): void {
  book.state.stopped_by = stage;
  book.state.withdraws = true;
  if (book.definition.policy.on_failure === 'pause') {
    book.enter('paused', reason);
    return;
  }
  book.state.finished_at = now;
  book.state.take_back_after = 0;
  book.enter('rolled_back', reason);
  book.sweep('rolled_back', 'the campaign was rolled back', now);
}

/** That everybody was left out; `null` where anybody has ended otherwise. */
const nobodyTookPart = ({ state: { counts }, size }: Book): string | null =>
  counts.every((stage) => participants(stage) === 0)
    ? `no device has taken part: ${size === 1 ? 'the only one was' : `all ${size} were`} skipped`
    : null;

/** The last stage has passed: it is over when every member has ended, and no others can join. */
function finish(book: Book, now: number): void {
  const { state, definition } = book;
  const left = state.counts.reduce((sum, counts) => sum + unfinished(counts), 0);
  if (left > 0) {
    state.reason = `${state.closed?.detail ?? 'every stage has passed'}; ${left} ${left === 1 ? 'device' : 'devices'} still to end`;
    return;
  }
  const { end_at } = definition.policy;
  if (definition.target.dynamic === true && (end_at == null || now < new Date(end_at).getTime())) {
    state.reason = 'every stage has passed; devices that come to match join';
    return;
  }
  state.finished_at = now;
  book.enter('completed', state.closed?.detail ?? nobodyTookPart(book));
}
