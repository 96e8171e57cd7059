/** What the clock makes of a member, and when it must look at it: timeouts, windows, postponements. Pure. */
import type { CampaignPolicy } from '../../protocol/api.ts';
import {
  afterFailure,
  type Change,
  ended,
  isAskedLess,
  isFinal,
  isStarted,
  isWaitingToTry,
  letPass,
  type Member,
  NO_ANSWER,
} from './member.ts';
import { excusedUntil } from './windows.ts';

/**
 * What the clock makes of a member that is neither untouched nor ended. While its campaign is paused it cannot take its
 * offer, nor while its windows are closed.
 */
export function afterTime(member: Member, policy: CampaignPolicy, now: number, isPaused = false): Change {
  if (isFinal(member.state) || member.attempt === 0) return undefined;
  if (isWaitingToTry(member) && member.attempt >= policy.max_attempts && isDue(member, now)) {
    const { error, detail } = member;
    const failure = error === 'timeout' || error === NO_ANSWER ? 'timeout' : 'failed';
    return { ...ended(now), state: 'failed', failure, error, detail };
  }
  const over = now >= overAt(member, policy);
  const stuck = isStarted(member.state) && member.next_at !== null && now >= member.next_at;
  if ((over || stuck) && isStarted(member.state)) {
    const detail = `no end within ${policy.update_timeout_s} s; last heard of as ${member.state}`;
    return afterFailure(member, { error: 'timeout', detail, failure: 'timeout' }, policy, now);
  }
  // An offer that stands may still be answered.
  if (member.state === 'offered' && member.next_at !== null && now < member.next_at) return undefined;
  if (over) {
    const { error, detail } = member;
    const excused = excusedAt(member, policy, now, isPaused);
    if (excused !== undefined) return anotherChance(member, policy, excused);
    if (waitsForItsTurn(member, policy, now)) return undefined;
    if (error !== null) return { ...ended(now), state: 'failed', failure: 'rejected', error, detail };
    const said = `the device did not take the offer within ${policy.update_timeout_s} s`;
    return afterFailure(member, { error: NO_ANSWER, detail: said, failure: 'timeout' }, policy, now);
  }
  const unanswered = member.state === 'offered' && member.next_at !== null && now >= member.next_at;
  return unanswered ? letPass(member, null) : undefined;
}

/**
 * Not before its window opens at `until`: its time runs from there, unless it has not answered all through one. One
 * that has declined is due as it was.
 */
export function untilWindow(
  member: Member,
  { windows, kind }: CampaignPolicy,
  now: number,
  until: number,
  detail: string,
): Change {
  const excused = excusedUntil(windows, member, now);
  if (member.error === null)
    return excused === undefined ? { next_at: until, detail } : postpone(member, until, detail);
  const stands = excused === undefined || kind === 'soft' || member.offered_at === excused;
  return stands ? undefined : { offered_at: excused };
}

/** Not now, for a reason that is no fault of the device: tried again at `until`, and its time stands still. */
export const postpone = (member: Member, until: number, detail: string): Change => {
  const { state, offered_at, error } = member;
  const hasAnswered = offered_at === null || error !== null || isStarted(state);
  return { ...(hasAnswered ? {} : { offered_at: until }), next_at: until, detail };
};

/**
 * It could not take its offer, or be asked again, until `at`: its time runs from there, but the time for which its user
 * may postpone it.
 */
export function anotherChance(
  member: Member,
  { kind, postpone_limit_s }: CampaignPolicy,
  at: number,
): Change {
  const { state, offered_at, error } = member;
  if (offered_at === null || isStarted(state)) return undefined;
  const wasAsked = error !== null && kind === 'soft';
  return { offered_at: wasAsked ? Math.max(offered_at, at - postpone_limit_s * 1000) : at };
}

/** When a member whose time is over has its time again, since it could not be offered the update; else `undefined`. */
function excusedAt(
  member: Member,
  policy: CampaignPolicy,
  now: number,
  isPaused: boolean,
): number | undefined {
  if (isPaused) return now;
  const wasAsked = member.error !== null && policy.kind === 'soft';
  return wasAsked ? undefined : excusedUntil(policy.windows, member, now);
}

/** It is there, or is to be asked again, and waits for others: it has its offer before it is judged. */
const waitsForItsTurn = (member: Member, policy: CampaignPolicy, now: number): boolean =>
  isDue(member, now) && (member.next_at ?? now) < overAt(member, policy);

/** When the clock must look at a member again; null where only the device can move it. */
export function wakeAt(member: Member, policy: CampaignPolicy): number | null {
  if (isFinal(member.state)) return null;
  const over = member.attempt === 0 ? Number.POSITIVE_INFINITY : overAt(member, policy);
  const { state, next_at } = member;
  const at = state === 'offered' && next_at !== null ? next_at : Math.min(over, next_at ?? over);
  return Number.isFinite(at) ? at : null;
}

/**
 * When a member is looked at under a policy that has changed. What kept it waiting through no act of its own, as a
 * window does, may do so no longer.
 */
export function rejudged(
  member: Member,
  policy: CampaignPolicy,
  now: number,
): Pick<Member, 'next_at' | 'wake_at'> {
  const { state, error, next_at } = member;
  const waits = state === 'pending' && error === null && next_at !== null && !isAskedLess(member);
  const anew = { ...member, next_at: waits ? Math.min(next_at, now) : next_at };
  return { next_at: anew.next_at, wake_at: wakeAt(anew, policy) };
}

/** Until when the device's user may postpone its update; `undefined` where nobody is asked. */
export function installBy({ offered_at }: Member, policy: CampaignPolicy): number | undefined {
  if (policy.kind !== 'soft' || offered_at === null) return undefined;
  return offered_at + policy.postpone_limit_s * 1000;
}

/** When an attempt has lasted too long. One that was begun and may be postponed has that time besides. */
export function overAt(member: Member, policy: CampaignPolicy): number {
  if (member.offered_at === null) return Number.POSITIVE_INFINITY;
  const from = member.started_at === null ? undefined : installBy(member, policy);
  return (from ?? member.offered_at) + policy.update_timeout_s * 1000;
}

/** Whether a member that waits for another try may have it now. */
export const isDue = (member: Member, now: number): boolean =>
  member.state === 'pending' && member.next_at !== null && member.next_at <= now;
