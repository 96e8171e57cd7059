/** What an operator may do to a campaign that runs, beside pausing and ending it. */
import type { Book } from './book.ts';
import { type Accepted, weighted } from './gate.ts';
import { isOvertaken } from './joining.ts';
import { retry, skip } from './member.ts';
import { anotherChance } from './member-clock.ts';
import { placeOf, START } from './members.ts';
import { failed, noFailures } from './stages.ts';

/** What an operator's command led to; `stale`: it was about a campaign that has been changed since. */
export type Outcome = { ok: true } | { ok: false; problem: string; stale?: boolean };

export const refuse = (problem: string) => ({ ok: false, problem }) satisfies Outcome;

const BATCH = 5000;

/**
 * Gives members that failed another attempt, all or those with one error, but for those that have something newer by
 * now; and those that would have to wait for theirs have it at once. Answers the members. `firmwareOf`: what devices
 * run.
 */
export async function retryFailed(
  book: Book,
  error: string | undefined,
  firmwareOf: (serialNos: string[]) => Promise<Map<string, string | null>>,
): Promise<string[]> {
  const serials: string[] = [];
  for (let cursor = START; ; ) {
    const some = book.members.failed(cursor, error, BATCH);
    const last = some.at(-1);
    if (last === undefined) break;
    const running = await firmwareOf(some.map(({ serial_no }) => serial_no));
    const now = Date.now();
    const before = new Map(some.map(({ serial_no, revision }) => [serial_no, revision]));
    const after = book.decide(
      some,
      (member) => {
        const version = running.get(member.serial_no) ?? null;
        if (version !== null && isOvertaken(book.definition, member.version, version)) return undefined;
        return retry(member, now);
      },
      now,
    );
    const changed = after.filter(({ serial_no, revision }) => revision !== before.get(serial_no));
    serials.push(...changed.map(({ serial_no }) => serial_no));
    cursor = placeOf(last);
  }
  // Whoever has another attempt has not failed yet, so nothing of it is accepted.
  const left = trouble(book);
  book.state.accepted = book.state.accepted.map((before, stage) => ({
    ...before,
    failures: Math.min(before.failures, left[stage]?.failures ?? 0),
    members: Math.min(before.members, left[stage]?.members ?? 0),
  }));
  book.state.revision += 1;
  book.keep();
  return serials;
}

/** Leaves one device out. */
export function skipDevice(book: Book, serialNo: string, actor: string, now: number): Outcome {
  const member = book.members.get(serialNo);
  if (member === undefined) return refuse('the device is no member of the campaign');
  if (member.state === 'offered') {
    return refuse(
      'it has just been offered the update and may begin any moment: if it does not, try again in a minute',
    );
  }
  const change = skip(member, 'skipped_by_operator', `left out by ${actor}`, now);
  if (change === undefined)
    return refuse(`its update is ${member.state}: only one that has not begun can be left out`);
  book.move(member, change, now);
  book.state.revision += 1;
  book.keep();
  return { ok: true };
}

/**
 * Opens the stage after the one that was `seen` open at the next tick, whatever the gate says of success and time: of
 * several who say so at a time, only the first is meant.
 */
export function advance(book: Book, seen: number): Outcome {
  const { state, definition } = book;
  if (book.isEmpty) return refuse('no device takes part yet, so no stage can be passed');
  if (state.stage >= definition.policy.stages.length - 1) return refuse('the last stage is open already');
  if (state.stage !== seen) {
    const open = `${state.stage} ("${definition.policy.stages[state.stage]?.name}")`;
    return refuse(`stage ${seen} is not the one that is open, which is ${open}: look at it again`);
  }
  if (state.released) return refuse('its next stage is being opened already');
  state.released = true;
  state.revision += 1;
  acceptTrouble(book);
  book.keep();
  return { ok: true };
}

/** Failures and silence up to here are accepted: the gate counts from now. */
export function acceptTrouble(book: Book): void {
  book.state.accepted = trouble(book);
}

/** Nobody could take an offer, or be asked again, while the campaign was paused, so the time for that begins anew. */
export function restartOffers(book: Book, now: number): void {
  const { policy } = book.definition;
  book.decide(book.members.unanswered(), (member) => anotherChance(member, policy, now), now);
}

/** What has failed, fallen silent and gone back, by stage. */
const trouble = ({ state, definition: { policy } }: Book): Accepted[] =>
  state.counts.map((counts, stage) => ({
    failures: weighted(policy, state.failures[stage] ?? noFailures()),
    members: failed(counts),
    silent: (state.silence[stage] ?? 0) + (state.back[stage] ?? 0),
  }));
