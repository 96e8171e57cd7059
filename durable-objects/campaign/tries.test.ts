import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CampaignPolicy, campaignPolicy } from '../../protocol/api.ts';
import type { UpdateReport } from '../../protocol/messages.ts';
import { timelineOf } from '../../protocol/update-timeline.ts';
import { afterStep, type Change, isFinal, type Member, offer, retry } from './member.ts';
import { afterTime } from './member-clock.ts';
import { newMemberRow } from './member-fixture.ts';
import { afterHeartbeat, afterReport } from './member-reports.ts';
import { readTries, withTimes } from './tries.ts';

const policy: CampaignPolicy = campaignPolicy.parse({ update_timeout_s: 600, max_attempts: 3 });
const T0 = 1_700_000_000_000;

const apply = (member: Member, change: Change, now: number): Member =>
  change === undefined ? member : { ...member, ...withTimes(member, change, now), updated_at: now };
const stepsOf = (m: Member) =>
  timelineOf(readTries(m.earlier), { ...m, status: m.state, ended_at: m.finished_at });
const report = (status: UpdateReport['status'], error?: string): UpdateReport => ({
  campaign_id: '00000000-0000-4000-8000-000000000000',
  status,
  timestamp: T0 / 1000,
  ...(error === undefined ? {} : { error }),
});

/** A device plays through what happens to it, one a second; `offer` only where one can be made. */
type Happening = UpdateReport['status'] | 'offer' | 'arrives' | 'has version' | 'time passes' | 'retry';

function play(happenings: readonly Happening[]): Member {
  let member = newMemberRow(T0);
  let now = T0;
  for (const what of happenings) {
    now += what === 'time passes' ? 700_000 : 1000;
    member = apply(member, changeOf(member, what, now), now);
  }
  return member;
}

function changeOf(member: Member, what: Happening, now: number): Change {
  switch (what) {
    case 'offer':
      return member.state === 'pending' ? offer(member, now) : undefined;
    case 'arrives':
      return member.attempt === 0 ? undefined : afterStep(member, 'v1.5', now);
    case 'has version':
      return afterHeartbeat(member, true, now);
    case 'time passes':
      return afterTime(member, policy, now);
    case 'retry':
      return retry(member, now);
    default:
      return afterReport(member, report(what, what === 'failed' ? 'flash_error' : undefined), policy, now);
  }
}

const summary = (m: Member) =>
  stepsOf(m).map(({ attempt, state, duration_s }) => [attempt, state, duration_s]);

describe("an update's timeline", () => {
  it('has every step of an update that went well, and how long each took', () => {
    const done = play(['offer', 'downloading', 'installing', 'rebooting', 'has version']);
    expect(summary(done)).toEqual([
      [1, 'offered', 1],
      [1, 'downloading', 1],
      [1, 'installing', 1],
      [1, 'rebooting', 1],
      [1, 'completed', null],
    ]);
  });

  it('keeps the attempts that failed before the one that did not', () => {
    const done = play(['offer', 'downloading', 'failed', 'offer', 'downloading', 'has version']);
    expect(summary(done)).toEqual([
      [1, 'offered', 1],
      [1, 'downloading', 1],
      [1, 'failed', 1],
      [2, 'offered', 1],
      [2, 'downloading', 1],
      [2, 'completed', null],
    ]);
    expect(stepsOf(done)[2]).toMatchObject({ error: 'flash_error', duration_s: 1 });
  });

  it('says once, and how often, that a device said "not now" again and again', () => {
    const waits = play(['offer', 'deferred', 'offer', 'deferred', 'offer', 'deferred']);
    expect(stepsOf(waits)).toMatchObject([
      { state: 'offered', duration_s: 5 },
      { state: 'deferred', times: 3, error: 'deferred' },
    ]);
  });

  it('keeps what an operator gave another attempt, and a release installed on the way', () => {
    const again = play(['offer', 'rollback', 'retry', 'offer', 'arrives', 'offer', 'has version']);
    expect(summary(again).map(([, state]) => state)).toEqual([
      'offered',
      'rollback',
      'offered',
      'arrived',
      'offered',
      'completed',
    ]);
  });

  it('is in order, whole and of bounded size, whatever a device does', () => {
    const happening = fc.constantFrom<Happening>(
      'offer',
      'offer',
      'downloading',
      'installing',
      'rebooting',
      'completed',
      'failed',
      'rollback',
      'rejected',
      'deferred',
      'arrives',
      'has version',
      'time passes',
      'retry',
    );
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 120 }), (happenings) => {
        const member = play(happenings);
        const steps = stepsOf(member);
        const times = steps.map(({ at }) => Date.parse(at));
        expect(times).toEqual(times.toSorted((a, b) => a - b));
        expect(steps.every(({ duration_s }, i) => (duration_s === null) === (i === steps.length - 1))).toBe(
          true,
        );
        expect(readTries(member.earlier).length).toBeLessThanOrEqual(20);
        if (isFinal(member.state)) expect(steps.at(-1)?.state).toBe(member.state);
        if (['downloading', 'installing', 'rebooting'].includes(member.state)) {
          expect(steps.at(-1)?.state).toBe(member.state);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
