import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { campaignPolicy, FAILURE_CLASSES, stage as stageSchema } from '../../protocol/api.ts';
import { type GateInput, judge, NOTHING_ACCEPTED } from './gate.ts';
import type { Counts } from './stages.ts';
import { emptyCounts, noFailures } from './stages.ts';

const stage = stageSchema.parse({
  name: 'canary',
  percentage: 10,
  success_threshold: 90,
  min_duration_s: 60,
});
const policy = campaignPolicy.parse({});
const twoFailures = { failures: 2, members: 2, silent: 0 };
/** A gate after a minute; failures are of the class `failed` unless said. */
const gate = (some: Partial<Counts>, more: Partial<GateInput> = {}) => {
  const counts = { ...emptyCounts(), ...some };
  return judge({
    stage,
    policy,
    counts,
    failures: { ...noFailures(), failed: counts.failed, rollback: counts.rollback },
    accepted: NOTHING_ACCEPTED,
    silent: 0,
    back: 0,
    proven: true,
    open_ms: 60_000,
    ...more,
  });
};

describe('the gate of a stage', () => {
  it('waits and says for what', () => {
    expect(gate({ completed: 8, downloading: 2 })).toEqual({
      kind: 'wait',
      reason: 'stage "canary" passes at 90 % and 1 min: 80 %, 1 min so far',
    });
  });

  it('passes when enough completed and the time is over, not before', () => {
    expect(gate({ completed: 9, pending: 1 }).kind).toBe('pass');
    expect(gate({ completed: 9, pending: 1 }, { open_ms: 59_000 }).kind).toBe('wait');
  });

  it('stops as soon as more failed than allowed, while others are still under way', () => {
    expect(gate({ failed: 1, rollback: 1, downloading: 8 }).kind).toBe('stop');
    expect(gate({ failed: 1, downloading: 9 }).kind).toBe('wait');
  });

  it('stops when all are finished and too few completed, so that no campaign hangs', () => {
    const lenient = { ...policy, failure_threshold: 50 };
    expect(gate({ completed: 8, failed: 2 }, { policy: lenient, open_ms: 0 }).kind).toBe('stop');
  });

  it('counts skipped members for nothing', () => {
    expect(gate({ completed: 9, pending: 1, skipped: 90 }).kind).toBe('pass');
    expect(gate({ skipped: 5 }).kind).toBe('pass');
    expect(gate({ skipped: 5 }, { proven: false })).toMatchObject({
      kind: 'wait',
      reason: expect.stringContaining('no device that could show'),
    });
  });

  it('counts who completed and went back as a failure, until an operator has accepted it', () => {
    const back = { back: 2, open_ms: 60_000 };
    expect(gate({ completed: 10 }, back)).toEqual({
      kind: 'stop',
      reason: 'stage "canary" stopped: 2 of 10 failed or went back after the update (20 %), more than 10 %',
    });
    const silentToo = { ...back, silent: 1, accepted: { failures: 0, members: 0, silent: 1 } };
    expect(gate({ completed: 10 }, silentToo)).toMatchObject({
      reason: expect.stringContaining('2 of 10 failed, fell silent or went back'),
    });
    const lenient = { ...policy, failure_threshold: 50 };
    expect(gate({ completed: 10 }, { ...back, policy: lenient })).toMatchObject({
      reason: expect.stringContaining('80 % succeeded, less than 90 %'),
    });
    expect(gate({ completed: 10 }, { ...back, accepted: { failures: 0, members: 0, silent: 2 } }).kind).toBe(
      'pass',
    );
  });

  it('accepts the failures an operator accepted, and stops at new ones', () => {
    expect(gate({ completed: 8, failed: 2 }, { accepted: twoFailures }).kind).toBe('pass');
    expect(gate({ completed: 6, failed: 4 }, { accepted: twoFailures }).kind).toBe('stop');
  });

  it('always comes to an end once every member has', () => {
    const finished = fc.record({
      completed: fc.nat(50),
      failed: fc.nat(50),
      rollback: fc.nat(50),
      skipped: fc.nat(50),
    });
    fc.assert(fc.property(finished, (some) => gate(some).kind !== 'wait'));
  });

  it('stops a large stage early, once a sample has finished', () => {
    expect(gate({ completed: 17, failed: 3, pending: 980 }).kind).toBe('stop');
    expect(gate({ completed: 18, failed: 2, pending: 980 }).kind).toBe('wait');
    expect(gate({ completed: 9, failed: 3, pending: 988 }).kind).toBe('wait');
  });

  it('weighs classes of failures as the policy says', () => {
    const some = { completed: 8, failed: 2 };
    const failures = { ...noFailures(), timeout: 2 };
    const weights = { failed: 1, rollback: 2, timeout: 0.5, rejected: 0 };
    const lenient = { ...stage, success_threshold: 50 };
    const weighing = { policy: { ...policy, failure_weights: weights }, stage: lenient };
    expect(gate(some, { ...weighing, failures }).kind).toBe('pass');
    expect(gate(some, { ...weighing, failures: { ...noFailures(), rollback: 1, failed: 1 } }).kind).toBe(
      'stop',
    );
  });

  it('counts devices in its sentences, and says beside them what they weigh', () => {
    const weights = { failed: 0.5, rollback: 5, timeout: 1, rejected: 1 };
    const weighing = { policy: { ...policy, failure_weights: weights } };
    expect(gate({ completed: 9, rollback: 1 }, weighing)).toMatchObject({
      reason: 'stage "canary" stopped: 1 of 10 failed and weigh as 5 (50 %), more than 10 %',
    });
    expect(gate({ completed: 8, failed: 1, downloading: 1 }, weighing)).toMatchObject({
      reason: 'stage "canary" passes at 90 % and 1 min: 80 %, 1 min so far; 1 failed',
    });
  });

  it('never shows a share as its threshold that is not there yet, or beyond it', () => {
    expect(gate({ completed: 8999, downloading: 1001 })).toMatchObject({
      reason: 'stage "canary" passes at 90 % and 1 min: 89.9 %, 1 min so far',
    });
    expect(gate({ completed: 8999, failed: 1001 })).toMatchObject({
      reason: 'stage "canary" stopped: 1001 of 10000 failed (10.1 %), more than 10 %',
    });
  });

  it('takes failures that weigh nothing for accepted where an operator accepted them', () => {
    const failure_weights = { failed: 0, rollback: 0, timeout: 0, rejected: 0 };
    const weightless = { policy: { ...policy, failure_weights } };
    expect(gate({ completed: 8, failed: 2 }, weightless).kind).toBe('stop');
    expect(
      gate({ completed: 8, failed: 2 }, { ...weightless, accepted: { ...twoFailures, failures: 0 } }).kind,
    ).toBe('pass');
  });

  it('passes at exactly its success threshold and goes on at exactly its failure threshold, for every share', () => {
    for (let n = 1; n <= 100; n += 1) {
      const some = { completed: n, failed: 100 - n };
      const exact = {
        stage: { ...stage, success_threshold: n },
        policy: { ...policy, failure_threshold: 100 - n },
      };
      expect([n, gate(some, exact).kind]).toEqual([n, 'pass']);
    }
    const tenth = { failed: 0.1, rollback: 1, timeout: 1, rejected: 1 };
    const weighed = { ...policy, failure_weights: tenth, failure_threshold: 1 };
    expect(gate({ completed: 27, failed: 3 }, { policy: weighed }).kind).toBe('pass');
  });

  it('counts devices that fell silent after the update', () => {
    const verdict = gate({ completed: 10 }, { silent: 3 });
    expect(verdict).toEqual({
      kind: 'stop',
      reason: 'stage "canary" stopped: 3 of 10 failed or fell silent after the update (30 %), more than 10 %',
    });
  });

  it('counts only those that fell silent after an operator accepted the silence', () => {
    const accepted = { ...NOTHING_ACCEPTED, silent: 3 };
    expect(gate({ completed: 10 }, { silent: 3, accepted }).kind).toBe('pass');
    expect(gate({ completed: 10 }, { silent: 2, accepted }).kind).toBe('pass');
    expect(gate({ completed: 10 }, { silent: 5, accepted }).kind).toBe('stop');
  });

  it('never stops for what stays within the threshold, whatever the order in which members end', () => {
    const outcome = fc.constantFrom('completed', 'failed' as const);
    fc.assert(
      fc.property(fc.array(outcome, { minLength: 1, maxLength: 19 }), (order) => {
        const failed = order.filter((o) => o === 'failed').length;
        if ((failed / order.length) * 100 > policy.failure_threshold) return;
        for (let n = 1; n <= order.length; n += 1) {
          const done = order.slice(0, n);
          const bad = done.filter((o) => o === 'failed').length;
          const some = { failed: bad, completed: n - bad, pending: order.length - n };
          expect(gate(some, { stage: { ...stage, success_threshold: 0 } }).kind).not.toBe('stop');
        }
      }),
    );
  });

  it('knows every class', () => {
    expect(Object.keys(noFailures())).toEqual([...FAILURE_CLASSES]);
  });
});
