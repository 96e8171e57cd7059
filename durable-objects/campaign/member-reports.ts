/** What a member's own reports and heartbeats make of it. Pure. */
import type { CampaignPolicy } from '../../protocol/api.ts';
import type { UpdateReport } from '../../protocol/messages.ts';
import type { Reported } from '../fleet-shard/messages.ts';
import { UNSET_S } from '../fleet-shard/presence.ts';
import {
  afterFailure,
  type Change,
  completed,
  ended,
  isFinal,
  isStarted,
  letPass,
  type Member,
  OFFER_LOST_MS,
  RANK,
  RETRY_MS,
  turnAgain,
} from './member.ts';
import { installBy, overAt } from './member-clock.ts';

/** What a report makes of a member, however often it is delivered, and whatever tries come in between. */
export function afterDelivery(
  member: Member,
  { digest, report }: Omit<Reported, 'serial_no'>,
  policy: CampaignPolicy,
  now: number,
): Change {
  if (isRepeated(member, digest, report) || isOfEarlierTry(member, report)) return undefined;
  const change = afterReport(member, report, policy, now);
  const endsTry = change?.state === 'pending' || (change?.state !== undefined && isFinal(change.state));
  return endsTry ? { ...change, ended_by: digest } : change;
}

/**
 * Whether it is the report that ended the try before. A device whose clock was never set says the same each time: once it
 * is asked again, it is believed.
 */
const isRepeated = ({ ended_by, state }: Member, digest: string, { timestamp }: UpdateReport): boolean =>
  digest === ended_by && (timestamp >= UNSET_S || state === 'pending');

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
        unanswered: 0,
        // Whoever postpones it has answered.
        started_at: policy.kind === 'soft' ? (member.started_at ?? now) : member.started_at,
        next_at: Math.max(
          now + RETRY_MS,
          Math.min((report.until ?? 0) * 1000, installBy(member, policy) ?? overAt(member, policy)),
        ),
      };
  }
}

/**
 * A heartbeat of a member: it has the version, or it is there and can be offered what it missed. `isBack`: it was offline
 * until then, so that it let no offer pass.
 */
export function afterHeartbeat(member: Member, hasVersion: boolean, now: number, isBack = false): Change {
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
  const { state, next_at, error, updated_at } = member;
  const unanswered = isBack ? 0 : member.unanswered;
  if (state === 'offered' && now - updated_at >= OFFER_LOST_MS)
    return letPass({ ...member, unanswered }, now);
  const wasAway = error === null && unanswered < member.unanswered;
  const missedItsOffer = state === 'pending' && member.attempt > 0 && (next_at === null || wasAway);
  return missedItsOffer ? { unanswered, ...turnAgain(unanswered, now) } : undefined;
}
