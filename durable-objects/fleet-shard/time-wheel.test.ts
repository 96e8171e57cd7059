import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TimeWheel } from './time-wheel.ts';

const added = fc.array(fc.record({ key: fc.integer(), at: fc.integer({ min: 0, max: 100_000 }) }));

describe('the time wheel', () => {
  it('gives everybody out once, never early and late by less than its width', () => {
    fc.assert(
      fc.property(added, fc.integer({ min: 1, max: 9000 }), (list, width) => {
        const wheel = new TimeWheel<{ key: number; at: number }>(width);
        for (const one of list) wheel.add(one, one.at);
        const out: { key: number; at: number }[] = [];
        for (let next = wheel.nextAt; next !== undefined; next = wheel.nextAt) {
          const due = wheel.take(next);
          expect(due.length).toBeGreaterThan(0);
          for (const { at } of due) {
            expect(at).toBeLessThanOrEqual(next);
            expect(next - at).toBeLessThan(width);
          }
          out.push(...due);
        }
        expect(new Set(out)).toEqual(new Set(list));
        expect(out).toHaveLength(list.length);
      }),
    );
  });
});
