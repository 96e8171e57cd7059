import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_STAGES, type Stage, stage as stageSchema, UPDATE_STATES } from '../../protocol/api.ts';
import { type Counts, emptyCounts, stageEnds, total } from './stages.ts';

const stages = (...percentages: number[]): Stage[] =>
  percentages.map((percentage) => stageSchema.parse({ name: `${percentage} %`, percentage }));
const counts = (some: Partial<Counts>): Counts => ({ ...emptyCounts(), ...some });
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

  it('can be counted in devices, and a count beside a share is at most that many', () => {
    const plan = [
      { name: 'one', count: 1 },
      { name: 'canary', percentage: 10, count: 5 },
      { name: 'rest', percentage: 100 },
    ].map((s) => stageSchema.parse(s));
    expect(stageEnds(1000, plan)).toEqual([1, 6, 1000]);
    expect(stageEnds(20, plan)).toEqual([1, 2, 20]);
  });

  it('knows every state', () => {
    expect(total(counts(Object.fromEntries(UPDATE_STATES.map((s) => [s, 1]))))).toBe(UPDATE_STATES.length);
  });
});
