/** When a member's present try came to each state, and how the tries before it went: for its timeline. Pure. */
import { type EarlierTry, earlierTry } from '../../protocol/update-timeline.ts';
import { type Change, isFinal, isStarted, type Member } from './member.ts';

/** More of a member's tries are not kept: the oldest go. */
const KEPT = 20;
/** A device's words, of each earlier try. */
const DETAIL_CHARS = 200;

const list = earlierTry.array();

export const readTries = (earlier: string | null): EarlierTry[] =>
  earlier === null ? [] : list.parse(JSON.parse(earlier));

/** The change, and what follows from it for the times of the member's steps. */
export function withTimes(member: Member, change: NonNullable<Change>, now: number): NonNullable<Change> {
  const { state = member.state, offered_at = member.offered_at } = change;
  const deferred = state === 'pending' && change.error != null;
  if (member.offered_at !== null && (offered_at === null || deferred)) {
    const tries = appended(readTries(member.earlier), endOf(member, change, now)).slice(-KEPT);
    return { ...change, ...NOT_BEGUN, earlier: JSON.stringify(tries) };
  }
  const begins = state !== member.state && isStarted(state);
  return begins ? { ...change, [`${state}_at`]: now } : change;
}

const NOT_BEGUN = { downloading_at: null, installing_at: null, rebooting_at: null };

function endOf(member: Member, change: NonNullable<Change>, now: number): EarlierTry {
  const { attempt, offered_at, downloading_at, installing_at, rebooting_at } = member;
  const times = { attempt, times: 1, offered_at, downloading_at, installing_at, rebooting_at };
  // An operator gives it another attempt: what was its end is one try's end now.
  const { error = null, detail = null } = isFinal(member.state) ? member : change;
  return {
    ...times,
    ended_at: (isFinal(member.state) ? member.finished_at : null) ?? now,
    outcome: outcomeOf(member, change),
    error,
    detail: detail?.slice(0, DETAIL_CHARS) ?? null,
  };
}

function outcomeOf(member: Member, change: NonNullable<Change>): EarlierTry['outcome'] {
  if (member.state === 'rollback') return 'rollback';
  if (isFinal(member.state)) return 'failed';
  if (change.attempt === 0) return 'arrived';
  return change.offered_at === null ? 'failed' : 'deferred';
}

/** A device that says the same "not now" again and again has one entry for it. */
function appended(tries: EarlierTry[], ended: EarlierTry): EarlierTry[] {
  const last = tries.at(-1);
  const begun = ended.downloading_at ?? ended.installing_at ?? ended.rebooting_at;
  const again =
    last?.outcome === 'deferred' &&
    ended.outcome === 'deferred' &&
    last.error === ended.error &&
    last.offered_at === ended.offered_at &&
    begun === null;
  if (!again) return [...tries, ended];
  return [...tries.slice(0, -1), { ...last, times: last.times + 1, ended_at: ended.ended_at }];
}
