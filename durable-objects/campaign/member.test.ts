import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CampaignPolicy, campaignPolicy, type UpdateState } from '../../protocol/api.ts';
import type { UpdateReport } from '../../protocol/messages.ts';
import { type Change, isFinal, isStarted, type Member, offer, retry, waitFor } from './member.ts';
import { afterTime, anotherChance, isDue, postpone, rejudged, untilWindow } from './member-clock.ts';
import { newMemberRow } from './member-fixture.ts';
import { afterDelivery, afterHeartbeat, afterReport } from './member-reports.ts';

const policy: CampaignPolicy = campaignPolicy.parse({ update_timeout_s: 600, max_attempts: 1 });
const T0 = 1_700_000_000_000;
const HOUR = 3_600_000;
const STEPS: readonly UpdateState[] = ['downloading', 'installing', 'rebooting'];
const fresh = newMemberRow(T0);
const apply = (member: Member, change: Change): Member => ({ ...member, ...change });
const report = (status: UpdateReport['status'], more: Partial<UpdateReport> = {}): UpdateReport => ({
  campaign_id: '00000000-0000-4000-8000-000000000000',
  status,
  timestamp: T0 / 1000,
  ...more,
});
const offered = apply(fresh, offer(fresh, T0));
const say = (member: Member, ...statuses: UpdateReport['status'][]) =>
  statuses.reduce((m, status) => apply(m, afterReport(m, report(status), policy, T0 + 1)), member);

describe("a device's update", () => {
  it('completes when its heartbeat shows the version, not on its word alone', () => {
    const claimed = say(offered, 'downloading', 'installing', 'rebooting', 'completed');
    expect(claimed.state).toBe('rebooting');
    expect(apply(claimed, afterHeartbeat(claimed, true, T0 + 2)).state).toBe('completed');
    expect(afterHeartbeat(claimed, false, T0 + 2)).toBeUndefined();
  });

  it('is tried again later after each failure, but never later than in an hour', () => {
    const many = { ...policy, max_attempts: 20 };
    for (let attempt = 1; attempt < 20; attempt += 1) {
      const failed = afterReport({ ...offered, attempt }, report('failed'), many, T0);
      expect(failed?.next_at).toBe(T0 + Math.min(3_600_000, 60_000 * 2 ** (attempt - 1)));
    }
  });

  it('is not late for an offer it could not take: while paused, outside its window, after another campaign', () => {
    const late = T0 + 601_000;
    expect(afterTime(offered, policy, late)?.state).toBe('failed');
    const kept = apply(offered, afterTime(offered, policy, late, true));
    expect(afterTime(kept, policy, late + 599_000, true)?.state).not.toBe('failed');
    const begun = say(offered, 'downloading');
    expect(afterTime(begun, policy, late, true)?.state).toBe('failed');
    const waiting = apply(offered, { state: 'pending', ...postpone(offered, late, 'waits for its window') });
    expect(afterTime(waiting, policy, late)).toBeUndefined();
  });

  it('is not late for an offer that was not made: it is back, and waits for its turn', () => {
    const missed = apply(offered, { state: 'pending', next_at: null });
    const back = apply(missed, afterHeartbeat(missed, false, T0 + 500_000));
    expect(afterTime(back, policy, T0 + 900_000)).toBeUndefined();
    const again = apply(back, offer(back, T0 + 900_000));
    expect(afterTime(again, policy, T0 + 929_000)).toBeUndefined();
    // Asked once more, and still no answer; or it begins, and has the usual time for that.
    expect(afterTime(again, policy, T0 + 930_000)).toMatchObject({ state: 'failed', error: 'no_answer' });
    const begun = apply(again, afterReport(again, report('downloading'), policy, T0 + 910_000));
    expect(afterTime(begun, policy, T0 + 1_509_000)).toBeUndefined();
    expect(afterTime(begun, policy, T0 + 1_510_000)).toMatchObject({ state: 'failed', error: 'timeout' });
  });

  it('that has declined is asked again before it fails: after a pause, outside a window, for want of room', () => {
    const later = say(offered, 'rejected');
    const over = T0 + 601_000;
    expect(afterTime({ ...later, next_at: over + 1 }, policy, over)).toMatchObject({ failure: 'rejected' });
    expect(afterTime(later, policy, over, true)).toEqual({ offered_at: over });
    expect(afterTime(later, policy, over)).toBeUndefined();
    const again = apply(later, offer(later, T0 + 599_000));
    expect(afterTime(again, policy, over)).toBeUndefined();
    expect(afterTime(again, policy, T0 + 629_000)).toMatchObject({ state: 'failed' });
  });

  it('is not late where its window closed on it, but is where it did not answer all through one', () => {
    // The clock stands at 22:13:20 UTC.
    const window = { from: '21:00', to: '22:20', time_zone: 'UTC', fallback_time_zone: 'UTC' };
    const nightly = { ...policy, windows: [window] };
    const opening = Math.floor(T0 / 86_400_000) * 86_400_000 + 86_400_000 + 21 * HOUR;
    const missed = apply(offered, { state: 'pending', next_at: null });
    const kept = apply(missed, afterTime(missed, nightly, T0 + 601_000));
    expect([kept.state, kept.offered_at]).toEqual(['pending', opening]);
    const patient = { ...nightly, update_timeout_s: 2 * 3600 };
    expect(afterTime(kept, patient, opening + HOUR)).toBeUndefined();
    expect(afterTime(kept, patient, opening + 2 * HOUR)).toMatchObject({
      state: 'failed',
      error: 'no_answer',
    });
    // Heard of at night, it is asked when a window opens; its time runs from there once.
    const [night, until] = [T0 + HOUR, opening];
    expect(untilWindow(missed, nightly, night, until, 'waits')).toMatchObject({
      next_at: until,
      offered_at: until,
    });
    const asked = untilWindow(kept, nightly, opening + 2 * HOUR, until + 24 * HOUR, 'waits');
    expect(asked).toEqual({ next_at: until + 24 * HOUR, detail: 'waits' });
    const declined = say(offered, 'rejected');
    expect(untilWindow(declined, nightly, night, until, 'waits')).toEqual({ offered_at: until });
  });

  it('that is there and lets its offers pass is asked less and less often, one that was away at once', () => {
    const patient = { ...policy, update_timeout_s: 24 * 3600 };
    let [mute, asked] = [offered, 1];
    for (let now = T0; now < T0 + HOUR; now += 10_000) {
      mute = apply(mute, afterTime(mute, patient, now));
      mute = apply({ ...mute, updated_at: now - 10_000 }, afterHeartbeat(mute, false, now));
      if (!isDue(mute, now)) continue;
      mute = apply(mute, offer(mute, now));
      asked += 1;
    }
    // At once, in case the first two were lost; then after 1, 2, 4, 8, 16, 32 minutes.
    expect(asked).toBeLessThanOrEqual(9);
    expect(mute.detail).toContain('offers pass');
    const away = apply(mute, { next_at: null, ...waitFor(mute, T0 + HOUR) });
    expect(isDue(apply(away, afterHeartbeat(away, false, T0 + HOUR)), T0 + HOUR)).toBe(true);
    // Gone before it could answer, and back: however often that happens.
    let gone = mute;
    for (let at = T0 + HOUR; at < T0 + 2 * HOUR; at += 600_000) {
      gone = apply(gone, afterHeartbeat(gone, false, at, true));
      expect([isDue(gone, at), gone.detail]).toEqual([true, expect.stringContaining('waits for its turn')]);
      gone = apply(gone, offer(gone, at));
      gone = apply(gone, afterTime(gone, patient, at + 30_000));
    }
    const answered = apply(mute, offer(mute, T0 + HOUR));
    expect(say(answered, 'downloading').state).toBe('downloading');
  });

  it('ignores reports that are late or repeated', () => {
    const installing = say(offered, 'downloading', 'installing');
    expect(afterReport(installing, report('downloading'), policy, T0)).toBeUndefined();
    expect(afterReport(installing, report('installing'), policy, T0)).toBeUndefined();
  });

  it('that has declined has its time again after a pause, and its user no more than before', () => {
    const soft = { ...policy, kind: 'soft' as const, postpone_limit_s: 3600 };
    const later = say(offered, 'rejected');
    expect(anotherChance(later, policy, T0 + HOUR)).toEqual({ offered_at: T0 + HOUR });
    const postponed = apply(offered, afterReport(offered, report('deferred'), soft, T0 + 1));
    expect(anotherChance(postponed, soft, T0 + HOUR / 2)).toEqual({ offered_at: T0 });
    const resumed = apply(postponed, anotherChance(postponed, soft, T0 + 2 * HOUR));
    expect(afterTime({ ...resumed, next_at: T0 + 3 * HOUR }, soft, T0 + 2 * HOUR + 599_000)).toBeUndefined();
    expect(anotherChance(say(offered, 'downloading'), policy, T0 + HOUR)).toBeUndefined();
  });

  it('is believed when it has no clock, and says of its next try what it said of the one before', () => {
    const thrice = { ...policy, max_attempts: 3 };
    const failed = report('failed', { timestamp: 5 });
    const deliver = (m: Member) => apply(m, afterDelivery(m, { digest: 'same', report: failed }, thrice, T0));
    const first = deliver(offered);
    expect(deliver(first)).toEqual(first);
    const second = apply(first, offer(first, T0 + 100_000));
    expect(deliver(second)).toMatchObject({ state: 'pending', attempt: 2, offered_at: null });
  });

  it('that answers no offer is asked no sooner because a policy changes', () => {
    const mute = { ...offered, state: 'pending' as const, unanswered: 3, next_at: T0 + HOUR };
    expect(rejudged(mute, { ...policy, update_timeout_s: 7200 }, T0).next_at).toBe(T0 + HOUR);
    expect(rejudged({ ...mute, unanswered: 0 }, policy, T0).next_at).toBe(T0);
  });

  it('ignores reports nobody asked for', () => {
    expect(afterReport(fresh, report('failed'), policy, T0)).toBeUndefined();
  });

  it('keeps why it failed', () => {
    const failed = apply(
      offered,
      afterReport(offered, report('failed', { error: 'checksum_mismatch' }), policy, T0),
    );
    expect(failed).toMatchObject({ state: 'failed', error: 'checksum_mismatch', finished_at: T0 });
  });

  it('is tried again while there are attempts left, a rollback never', () => {
    const twice = { ...policy, max_attempts: 2 };
    const again = apply(offered, afterReport(offered, report('failed'), twice, T0));
    expect(again.state).toBe('pending');
    expect(isDue(again, again.next_at ?? 0)).toBe(true);
    const second = apply(again, offer(again, T0 + 100_000));
    expect(second.attempt).toBe(2);
    expect(apply(second, afterReport(second, report('failed'), twice, T0)).state).toBe('failed');
    expect(apply(offered, afterReport(offered, report('rollback'), twice, T0)).state).toBe('rollback');
  });

  it('is not ended in its next try by the report that ended the one before, delivered again', () => {
    const thrice = { ...policy, max_attempts: 3 };
    const deliver = (m: Member, status: UpdateReport['status'], digest: string) =>
      apply(m, afterDelivery(m, { digest, report: report(status) }, thrice, T0));
    for (const status of ['failed', 'deferred', 'rejected'] as const) {
      const over = deliver(offered, status, 'first');
      const again = apply(over, offer(over, T0 + 100_000));
      const late = deliver(deliver(again, status, 'first'), 'installing', 'other');
      expect([status, late.state, late.attempt]).toEqual([status, 'installing', again.attempt]);
      expect(deliver(late, status, 'second').state).toBe('pending');
    }
    const back = deliver(offered, 'rollback', 'first');
    const tried = apply(back, retry(back, T0));
    const once = apply(tried, offer(tried, T0));
    expect(deliver(once, 'rollback', 'first').state).toBe('offered');
  });

  it('is not ended in its next try by a report from before that was offered, but by one of its own', () => {
    const twice = { ...policy, max_attempts: 3 };
    const deliver = (m: Member, status: UpdateReport['status'], timestamp: number) =>
      apply(
        m,
        afterDelivery(
          m,
          { digest: `${status} ${timestamp}`, report: report(status, { timestamp }) },
          twice,
          T0,
        ),
      );
    const begun = say(offered, 'downloading');
    const late = T0 + 601_000;
    const over = apply(begun, { ...afterTime(begun, twice, late), earlier: '[]' });
    const again = apply(over, offer(over, late + 60_000));
    for (const status of ['failed', 'rollback'] as const) {
      expect(deliver(again, status, late / 1000)).toEqual(again);
      expect(deliver(again, status, late / 1000 + 61).state).not.toBe('offered');
      // A clock that was never set says nothing.
      expect(deliver(again, status, 12).state).not.toBe('offered');
    }
  });

  it('has no further attempt when there are fewer by the time it is due', () => {
    const twice = { ...policy, max_attempts: 2 };
    const waiting = apply(offered, afterReport(offered, report('failed', { error: 'flash' }), twice, T0));
    expect(afterTime(waiting, policy, T0 + 59_000)).toBeUndefined();
    expect(afterTime(waiting, policy, T0 + 60_000)).toMatchObject({ state: 'failed', error: 'flash' });
    expect(afterTime(waiting, twice, T0 + 60_000)).toBeUndefined();
    const again = apply(waiting, retry(waiting, T0));
    expect(afterTime(again, policy, T0 + 60_000)).toBeUndefined();
  });

  it('has its next attempt, while there is one, when it took no offer in time', () => {
    const twice = { ...policy, max_attempts: 2 };
    const late = T0 + 601_000;
    const first = apply(offered, afterTime(offered, twice, late));
    expect(first).toMatchObject({ state: 'pending', error: 'no_answer', next_at: late + 60_000 });
    const second = apply(first, offer(first, late + 60_000));
    expect(afterTime(second, twice, late + 661_000)).toMatchObject({ state: 'failed', failure: 'timeout' });
  });

  it('waits without an answer, costs nothing, and is offered again when the device is heard', () => {
    const waiting = apply(offered, afterTime(offered, policy, T0 + 30_000));
    expect(waiting).toMatchObject({ state: 'pending', next_at: null });
    expect(isDue(waiting, T0 + 599_000)).toBe(false);
    const heard = apply(waiting, afterHeartbeat(waiting, false, T0 + 60_000));
    expect(isDue(heard, T0 + 60_000)).toBe(true);
    expect(apply(heard, offer(heard, T0 + 60_000))).toMatchObject({ attempt: 1, offered_at: T0 });
  });

  it('is offered again at the next heartbeat when the offer got lost on its way', () => {
    const sent = { ...offered, updated_at: T0 };
    expect(afterHeartbeat(sent, false, T0 + 1_000)).toBeUndefined();
    const lost = apply(sent, afterHeartbeat(sent, false, T0 + 10_000));
    expect(isDue(lost, T0 + 10_000)).toBe(true);
    expect(apply(lost, offer(lost, T0 + 10_000)).attempt).toBe(1);
  });

  it('fails when its device never answers, so that no campaign hangs for ever', () => {
    const waiting = apply(offered, afterTime(offered, policy, T0 + 30_000));
    expect(apply(waiting, afterTime(waiting, policy, T0 + 600_000))).toMatchObject({
      state: 'failed',
      error: 'no_answer',
    });
  });

  it('fails when it takes longer than it may', () => {
    const busy = say(offered, 'downloading');
    expect(apply(busy, afterTime(busy, policy, T0 + 600_000))).toMatchObject({
      state: 'failed',
      error: 'timeout',
    });
  });

  it('waits, without counting as failed, when the device declines for now', () => {
    const later = say(offered, 'deferred');
    expect(later).toMatchObject({ state: 'pending', attempt: 1 });
  });

  it('is skipped where the device has the version before it was ever offered', () => {
    expect(apply(fresh, afterHeartbeat(fresh, true, T0)).state).toBe('skipped');
  });

  it('moves forward only, ends once, and always ends, whatever comes in whatever order', () => {
    const event = fc.oneof(
      fc
        .constantFrom<UpdateReport['status']>(
          'downloading',
          'installing',
          'rebooting',
          'completed',
          'failed',
          'rollback',
          'rejected',
          'deferred',
        )
        .map((status) => ({ kind: 'report' as const, status })),
      fc.boolean().map((has) => ({ kind: 'heartbeat' as const, has })),
      fc.integer({ min: 0, max: 700_000 }).map((ms) => ({ kind: 'time' as const, ms })),
      fc.constant({ kind: 'offer' as const }),
    );
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 40 }),
        fc.integer({ min: 1, max: 3 }),
        (events, max_attempts) => {
          const own = { ...policy, max_attempts };
          let [m, now] = [fresh, T0];
          for (const e of events) {
            const before = m;
            if (e.kind === 'report') m = apply(m, afterReport(m, report(e.status), own, now));
            else if (e.kind === 'heartbeat') m = apply(m, afterHeartbeat(m, e.has, now));
            else if (e.kind === 'time') {
              now += e.ms;
              m = apply(m, afterTime(m, own, now));
            } else if (m.state === 'pending' && (m.attempt === 0 || isDue(m, now)))
              m = apply(m, offer(m, now));
            if (isFinal(before.state)) expect(m).toEqual(before);
            if (isStarted(before.state) && isStarted(m.state))
              expect(STEPS.indexOf(m.state)).toBeGreaterThanOrEqual(STEPS.indexOf(before.state));
            expect(m.attempt).toBeLessThanOrEqual(max_attempts);
            expect(isFinal(m.state)).toBe(m.finished_at !== null);
          }
          // From wherever it is: enough time and offers end it.
          for (let i = 0; i < 20 && !isFinal(m.state); i += 1) {
            now += 700_000;
            if (m.state === 'pending' && (m.attempt === 0 || isDue(m, now))) m = apply(m, offer(m, now));
            now += 700_000;
            m = apply(m, afterTime(m, own, now));
          }
          expect(isFinal(m.state)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});
describe('an update its user may postpone', () => {
  const soft = campaignPolicy.parse({ kind: 'soft', update_timeout_s: 600, postpone_limit_s: 86_400 });
  const HOUR = 3_600_000;
  const hear = (member: Member, status: UpdateReport['status'], at: number, until?: number) =>
    apply(
      member,
      afterReport(member, report(status, until === undefined ? {} : { until: until / 1000 }), soft, at),
    );

  it('waits until its device is ready, for longer than an update may take, and is then offered again', () => {
    const later = hear(hear(offered, 'downloading', T0 + 1), 'deferred', T0 + 2, T0 + 5 * HOUR);
    expect(later).toMatchObject({ state: 'pending', error: 'deferred', next_at: T0 + 5 * HOUR });
    expect(afterTime(later, soft, T0 + 4 * HOUR)).toBeUndefined();
    expect(isDue(later, T0 + 5 * HOUR)).toBe(true);
    const again = apply(later, offer(later, T0 + 5 * HOUR));
    expect([again.attempt, afterTime(again, soft, T0 + 5 * HOUR + 1)]).toEqual([1, undefined]);
  });

  it('is offered again when its user may postpone it no longer, whatever the device asks for', () => {
    const later = hear(offered, 'deferred', T0 + 1, T0 + 100 * HOUR);
    expect(later.next_at).toBe(T0 + 24 * HOUR);
  });

  it('fails as declined when its device still says no after that', () => {
    const later = hear(offered, 'deferred', T0 + 1, T0 + 24 * HOUR);
    const last = T0 + 24 * HOUR + 599_000;
    const again = hear(apply(later, offer(later, last)), 'deferred', last);
    const over = apply(again, afterTime(again, soft, T0 + 24 * HOUR + 600_000));
    expect(over).toMatchObject({ state: 'failed', failure: 'rejected', error: 'deferred' });
  });

  it('has the usual time for each step, once it has begun', () => {
    const downloading = hear(offered, 'downloading', T0 + 1);
    const stuck = apply(downloading, afterTime(downloading, soft, T0 + 1 + 600_000));
    expect(stuck).toMatchObject({ state: 'failed', failure: 'timeout' });
  });
});
