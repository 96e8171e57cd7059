import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_STAGES, type Stage, stage as stageSchema, UPDATE_STATES } from '../../protocol/api.ts';
import { emptyCounts } from './members.ts';
import { type Counts, judge, stageEnds, total } from './stages.ts';

const stages = (...percentages: number[]): Stage[] =>
  percentages.map((percentage) => stageSchema.parse({ name: `${percentage} %`, percentage }));
const counts = (some: Partial<Counts>): Counts => ({ ...emptyCounts(), ...some });
const stage = stageSchema.parse({
  name: 'canary',
  percentage: 10,
  success_threshold: 90,
  min_duration_s: 60,
});
const gate = (some: Partial<Counts>, more: { open_ms?: number; accepted_failures?: number } = {}) =>
  judge({
    stage,
    policy: { failure_threshold: 10 },
    counts: counts(some),
    accepted_failures: 0,
    open_ms: 60_000,
    ...more,
  });

describe('stages', () => {
  it('have exact sizes in small fleets: 10 % of 12 is 1, never 0', () => {
    expect(stageEnds(12, stages(10, 50, 100))).toEqual([1, 6, 12]);
    expect(stageEnds(12, [...DEFAULT_STAGES])).toEqual([1, 2, 6, 12]);
    expect(stageEnds(1, [...DEFAULT_STAGES])).toEqual([1, 1, 1, 1]);
    expect(stageEnds(1_000_000, [...DEFAULT_STAGES])).toEqual([10_000, 100_000, 500_000, 1_000_000]);
  });

  it('never shrink, and the last one has everybody', () => {
    const plan = fc
      .uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 6 })
      .map((p) => stages(...p.sort((a, b) => a - b), 100));
    fc.assert(
      fc.property(fc.nat({ max: 100_000 }), plan, (n, list) => {
        const ends = stageEnds(n, list);
        expect(ends.at(-1)).toBe(n);
        for (const [i, end] of ends.entries()) expect(end).toBeGreaterThanOrEqual(ends[i - 1] ?? 0);
      }),
    );
  });
});

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
    const lenient = { stage, policy: { failure_threshold: 50 }, accepted_failures: 0, open_ms: 0 };
    expect(judge({ ...lenient, counts: counts({ completed: 8, failed: 2 }) }).kind).toBe('stop');
  });

  it('counts skipped members for nothing', () => {
    expect(gate({ completed: 9, pending: 1, skipped: 90 }).kind).toBe('pass');
    expect(gate({ skipped: 5 }).kind).toBe('pass');
  });

  it('accepts the failures an operator accepted, and stops at new ones', () => {
    expect(gate({ completed: 8, failed: 2 }, { accepted_failures: 2 }).kind).toBe('pass');
    expect(gate({ completed: 6, failed: 4 }, { accepted_failures: 2 }).kind).toBe('stop');
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

  it('knows every state', () => {
    expect(total(counts(Object.fromEntries(UPDATE_STATES.map((s) => [s, 1]))))).toBe(UPDATE_STATES.length);
  });
});
