/** One device's update: its states, and what an offer, an operator or the campaign makes of it. Pure. */
import type { CampaignPolicy, FailureClass, UpdateState } from '../../protocol/api.ts';

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
  /** Offers in a row that it let pass, as far as is known while it was there. */
  unanswered: number;
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
/** Why members are skipped after the campaign's `end_at`. */
export const ENDED = 'ended';
/** It did not take its offer in time. */
export const NO_ANSWER = 'no_answer';
/** A device that speaks of other things this long after its offer has not got it: brokers can lose a message. */
export const OFFER_LOST_MS = 5_000;
/** Before a failed or declined attempt is tried again: the first, and at most. */
export const RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 3_600_000;
/** From so many unanswered offers in a row on, it waits before the next: two may well be lost when a broker starts anew. */
const TOLERATED = 3;

/** The order in which an attempt passes through its states; a report of a lower rank is late. */
export const RANK: Record<UpdateState, number> = {
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
/** It is there and answers no offer. */
export const isAskedLess = ({ unanswered }: Member): boolean => unanswered >= TOLERATED;
/** It has failed and waits for its next attempt. */
export const isWaitingToTry = (member: Member): boolean => isPostponed(member) && member.offered_at === null;
export const isStarted = (state: UpdateState): boolean => RANK[state] >= 2 && RANK[state] < 5;

/** The member is offered the update. Offered again in the same attempt, its clock runs on. */
export function offer(member: Member, now: number): Change {
  const again = member.attempt > 0 && member.offered_at !== null;
  return {
    state: 'offered',
    attempt: again ? member.attempt : member.attempt + 1,
    offered_at: again ? member.offered_at : now,
    unanswered: again ? member.unanswered : 0,
    next_at: now + OFFER_PATIENCE_MS,
    error: null,
    detail: null,
  };
}

/** Its turn has come and it is not there: it is offered the update when it is heard from, or fails in time. */
export const waitFor = (member: Member, now: number): Change => ({
  ...offer(member, now),
  state: 'pending',
  unanswered: 0,
  next_at: null,
  detail: 'is offline: it is offered the update when it is heard from',
});

/** It has not answered its offer. `heardAt` is when it was heard from since; null where it was not. */
export function letPass(member: Member, heardAt: number | null): Change {
  const unanswered = member.unanswered + 1;
  const turn =
    heardAt === null
      ? { next_at: null, detail: 'has not answered its offer: is asked again when it is heard from' }
      : turnAgain(unanswered, heardAt);
  return { state: 'pending', unanswered, ...turn };
}

/**
 * It is there and has not answered: an offer may have been lost, or have come while it was away. One that goes on like
 * that is asked less and less often, so that it does not take the turns of those that answer.
 */
export const turnAgain = (unanswered: number, now: number): NonNullable<Change> =>
  unanswered < TOLERATED
    ? { next_at: now, detail: 'was heard from: waits for its turn' }
    : {
        next_at: now + waitBefore(unanswered - TOLERATED + 1),
        detail: `is there, and has let ${unanswered} offers pass: is asked again later`,
      };

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

/** It has failed: it tries again later, or that was its last attempt. */
export function afterFailure(
  member: Member,
  said: { error: string; detail: string | null; failure: FailureClass },
  policy: CampaignPolicy,
  now: number,
): Change {
  if (member.attempt >= policy.max_attempts) return { ...ended(now), state: 'failed', ...said };
  const next_at = now + waitBefore(member.attempt);
  return { ...said, state: 'pending', failure: null, offered_at: null, next_at };
}

export const completed = (member: Member, now: number): Change => ({
  ...ended(now),
  state: 'completed',
  started_at: member.started_at ?? now,
  error: null,
  detail: null,
});

export const ended = (now: number) => ({ finished_at: now, next_at: null });

/** How long before the next try, after so many in vain. */
const waitBefore = (tries: number): number => Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** (tries - 1));
