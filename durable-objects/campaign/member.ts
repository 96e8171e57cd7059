/** One device's update: what a report, a heartbeat or the clock makes of it. Pure. */
import type { CampaignPolicy, FailureClass, UpdateState } from '../../protocol/api.ts';
import type { UpdateReport } from '../../protocol/messages.ts';
import type { Reported } from '../fleet-shard/messages.ts';
import { UNSET_S } from '../fleet-shard/presence.ts';
import { ENDED } from './end.ts';
import { excusedUntil } from './windows.ts';

/** A member of a campaign. Times are Unix milliseconds. */
export interface Member {
  serial_no: string;
  device_id: string;
  stage: number;
  state: UpdateState;
  /** How many times the update was begun with; 0 before the first offer. */
  attempt: number;
  from_version: string | null;
  /** Its group when it joined. */
  grp: string | null;
  /** What it runs, as far as the campaign has heard. */
  version: string | null;
  /** What it is reached through, and its own time zone (IANA); null where nobody has said. */
  gateway: string | null;
  zone: string | null;
  /** How it failed, where it did. */
  failure: FailureClass | null;
  error: string | null;
  detail: string | null;
  /** Digest of the report that ended the try before: said again, it says nothing of this one. */
  ended_by: string | null;
  /** When this attempt was first offered. */
  offered_at: number | null;
  /** When the present try came to these states; see `tries.ts`. */
  downloading_at: number | null;
  installing_at: number | null;
  rebooting_at: number | null;
  /** The tries before it, in JSON. */
  earlier: string | null;
  started_at: number | null;
  finished_at: number | null;
  updated_at: number;
  /** When to look at it again: an offer nobody answered, a retry that is due. Null: when the device is heard. */
  next_at: number | null;
  /** When the clock must look at it; see {@link wakeAt}. */
  wake_at: number | null;
  /** Counts the changes of this member. */
  revision: number;
}

/** What to change of a member; `undefined` where nothing follows. */
export type Change =
  | Partial<Omit<Member, 'serial_no' | 'device_id' | 'stage' | 'revision' | 'wake_at'>>
  | undefined;

/** How long an offer may go unanswered before it costs no concurrency any more. */
export const OFFER_PATIENCE_MS = 30_000;
/** It did not take its offer in time. */
export const NO_ANSWER = 'no_answer';
/** A device that speaks of other things this long after its offer has not got it: brokers can lose a message. */
const OFFER_LOST_MS = 5_000;
/** Before a failed or declined attempt is tried again: the first, and at most. */
const RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 3_600_000;

/** The order in which an attempt passes through its states; a report of a lower rank is late. */
const RANK: Record<UpdateState, number> = {
  pending: 0,
  offered: 1,
  downloading: 2,
  installing: 3,
  rebooting: 4,
  completed: 5,
  failed: 5,
  rollback: 5,
  skipped: 5,
};

export const isFinal = (state: UpdateState): boolean => RANK[state] === 5;
/** Its device has said "later", or has failed and is to try again: nothing is under way. */
export const isPostponed = ({ state, error }: Member): boolean => state === 'pending' && error !== null;
/** It has failed and waits for its next attempt. */
const isWaitingToTry = (member: Member): boolean => isPostponed(member) && member.offered_at === null;
export const isStarted = (state: UpdateState): boolean => RANK[state] >= 2 && RANK[state] < 5;

/** The member is offered the update. Offered again in the same attempt, its clock runs on. */
export function offer(member: Member, now: number): Change {
  const again = member.attempt > 0 && member.offered_at !== null;
  return {
    state: 'offered',
    attempt: again ? member.attempt : member.attempt + 1,
    offered_at: again ? member.offered_at : now,
    next_at: now + OFFER_PATIENCE_MS,
    error: null,
    detail: null,
  };
}

/** Its turn has come and it is not there: it is offered the update when it is heard from, or fails in time. */
export const waitFor = (member: Member, now: number): Change => ({
  ...offer(member, now),
  state: 'pending',
  next_at: null,
  detail: 'is offline: it is offered the update when it is heard from',
});

/** What a report makes of a member, however often it is delivered, and whatever tries come in between. */
export function afterDelivery(
  member: Member,
  { digest, report }: Omit<Reported, 'serial_no'>,
  policy: CampaignPolicy,
  now: number,
): Change {
  if (digest === member.ended_by || isOfEarlierTry(member, report)) return undefined;
  const change = afterReport(member, report, policy, now);
  const endsTry = change?.state === 'pending' || (change?.state !== undefined && isFinal(change.state));
  return endsTry ? { ...change, ended_by: digest } : change;
}

/**
 * Whether a report that would end a try which has not begun yet was said before that was offered: then the try before
 * has ended like that, which is over. A device whose clock was never set is believed.
 */
function isOfEarlierTry(
  { earlier, state, offered_at }: Member,
  { status, timestamp }: UpdateReport,
): boolean {
  const ends = status === 'failed' || status === 'rollback';
  if (!ends || earlier === null || offered_at === null || isStarted(state)) return false;
  return timestamp >= UNSET_S && timestamp < Math.floor(offered_at / 1000);
}

/** What a device says of its update. Late, repeated and unasked-for reports change nothing. */
export function afterReport(
  member: Member,
  report: UpdateReport,
  policy: CampaignPolicy,
  now: number,
): Change {
  // Without an offer that stands, it is about an attempt that is over, or was never made.
  if (isFinal(member.state) || member.offered_at === null) return undefined;
  const said = { error: report.error ?? null, detail: report.detail ?? null };
  switch (report.status) {
    case 'downloading':
    case 'installing':
    case 'rebooting':
      if (RANK[report.status] <= RANK[member.state]) return undefined;
      return {
        state: report.status,
        // It may have waited for its turn for longer than an update may take.
        offered_at: now < overAt(member, policy) ? member.offered_at : now,
        started_at: member.started_at ?? now,
        // Its offer may have been postponed for days, so each step has its own time.
        next_at: policy.kind === 'soft' ? now + policy.update_timeout_s * 1000 : null,
      };
    case 'completed':
      // What is only downloaded never shows in a heartbeat.
      if (policy.kind === 'download_only') return completed(member, now);
      // The device's word alone does not complete it: its next heartbeat must show the version.
      if (member.state === 'rebooting') return undefined;
      return { state: 'rebooting', started_at: member.started_at ?? now, next_at: null };
    case 'failed':
      return afterFailure(
        member,
        { error: said.error ?? 'failed', detail: said.detail, failure: 'failed' },
        policy,
        now,
      );
    case 'rollback':
      return {
        ...ended(now),
        state: 'rollback',
        failure: 'rollback',
        ...said,
        error: said.error ?? 'rollback',
      };
    case 'rejected':
    case 'deferred':
      return {
        state: 'pending',
        ...said,
        error: said.error ?? report.status,
        // Whoever postpones it has answered.
        started_at: policy.kind === 'soft' ? (member.started_at ?? now) : member.started_at,
        next_at: Math.max(
          now + RETRY_MS,
          Math.min((report.until ?? 0) * 1000, installBy(member, policy) ?? overAt(member, policy)),
        ),
      };
  }
}

/** A heartbeat of a member: it has the version, or it is back and can be offered what it missed. */
export function afterHeartbeat(member: Member, hasVersion: boolean, now: number): Change {
  if (isFinal(member.state)) return undefined;
  if (hasVersion) {
    return member.attempt === 0 && member.started_at === null
      ? {
          ...ended(now),
          state: 'skipped',
          error: 'has_version',
          detail: 'the device has this version already',
        }
      : completed(member, now);
  }
  if (member.state === 'offered' && now - member.updated_at >= OFFER_LOST_MS)
    return { state: 'pending', next_at: now };
  const missedItsOffer = member.state === 'pending' && member.attempt > 0 && member.next_at === null;
  return missedItsOffer ? { next_at: now, detail: 'was heard from: waits for its turn' } : undefined;
}

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
  return unanswered ? { state: 'pending', next_at: null } : undefined;
}

/** It has arrived at an intermediate version it needed first: what comes next is offered like the first. */
export function afterStep(member: Member, version: string, now: number): Change {
  if (isFinal(member.state)) return undefined;
  return {
    state: 'pending',
    attempt: 0,
    version,
    started_at: member.started_at ?? now,
    offered_at: null,
    next_at: now,
    error: null,
    detail: `has arrived at ${version} on its way`,
  };
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
export const postpone = (member: Member, until: number, detail: string): Change => ({
  ...restart(member, until),
  next_at: until,
  detail,
});

/** It could not take its offer until `at`: its time runs from there, unless it has answered. */
export const restart = ({ state, offered_at, error }: Member, at: number): Change =>
  offered_at === null || error !== null || isStarted(state) ? undefined : { offered_at: at };

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

/** The same where its time is over, also for one that has declined: it could not be asked again. */
const anotherChance = (member: Member, policy: CampaignPolicy, at: number): Change =>
  restart(member, at) ?? {
    offered_at: policy.kind === 'soft' ? at - policy.postpone_limit_s * 1000 : at,
  };

/** It was left out, and is no longer: as it was before anything. */
export const takeIn = ({ from_version }: Member): Change => ({
  state: 'pending',
  attempt: 0,
  version: from_version,
  error: null,
  detail: null,
  offered_at: null,
  started_at: null,
  finished_at: null,
  next_at: null,
});

/**
 * An operator gives a member another attempt that failed, or that the campaign's end has left out; one that waits for its
 * next need not wait any longer.
 */
export function retry(member: Member, now: number): Change {
  const { state, error } = member;
  const over = state === 'failed' || state === 'rollback' || (state === 'skipped' && error === ENDED);
  if (!over && !isWaitingToTry(member)) return undefined;
  return {
    state: 'pending',
    failure: null,
    error: null,
    detail: 'an operator gave it another attempt',
    offered_at: null,
    finished_at: null,
    next_at: now,
  };
}

/** It takes no part any more; `undefined` where its update is under way or over. */
export function skip(member: Member, error: string, detail: string, now: number): Change {
  if (isFinal(member.state) || isStarted(member.state)) return undefined;
  return { ...ended(now), state: 'skipped', error, detail };
}

/** Its campaign is over: it takes no part, unless it is just about to begin by an offer it has. */
export function letGo(member: Member, error: string, detail: string, now: number): Change {
  if (member.state !== 'offered') return skip(member, error, detail, now);
  return { next_at: Math.min(member.next_at ?? now, now + OFFER_LOST_MS) };
}

/** Its device is out for good, whatever it was doing; `undefined` where its update is over. */
export const leave = (member: Member, error: string, detail: string, now: number): Change =>
  isFinal(member.state) ? undefined : { ...ended(now), state: 'skipped', error, detail };

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
  const waits = state === 'pending' && error === null && next_at !== null;
  const anew = { ...member, next_at: waits ? Math.min(next_at, now) : next_at };
  return { next_at: anew.next_at, wake_at: wakeAt(anew, policy) };
}

/** Until when the device's user may postpone its update; `undefined` where nobody is asked. */
export function installBy({ offered_at }: Member, policy: CampaignPolicy): number | undefined {
  if (policy.kind !== 'soft' || offered_at === null) return undefined;
  return offered_at + policy.postpone_limit_s * 1000;
}

/** When an attempt has lasted too long. One that was begun and may be postponed has that time besides. */
function overAt(member: Member, policy: CampaignPolicy): number {
  if (member.offered_at === null) return Number.POSITIVE_INFINITY;
  const from = member.started_at === null ? undefined : installBy(member, policy);
  return (from ?? member.offered_at) + policy.update_timeout_s * 1000;
}

/** Whether a member that waits for another try may have it now. */
export const isDue = (member: Member, now: number): boolean =>
  member.state === 'pending' && member.next_at !== null && member.next_at <= now;

function afterFailure(
  member: Member,
  said: { error: string; detail: string | null; failure: FailureClass },
  policy: CampaignPolicy,
  now: number,
): Change {
  if (member.attempt >= policy.max_attempts) return { ...ended(now), state: 'failed', ...said };
  const wait = Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** (member.attempt - 1));
  return { ...said, state: 'pending', failure: null, offered_at: null, next_at: now + wait };
}

const completed = (member: Member, now: number): Change => ({
  ...ended(now),
  state: 'completed',
  started_at: member.started_at ?? now,
  error: null,
  detail: null,
});

const ended = (now: number) => ({ finished_at: now, next_at: null });
