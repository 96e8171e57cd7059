import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { retryDelayMs, slowDelayMs } from './retry.ts';

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('the time until the next attempt', () => {
  it('is anywhere between none and a limit that doubles up to 15 s', () => {
    fc.assert(
      fc.property(fc.nat(), random, (attempt, r) => {
        const delay = retryDelayMs(attempt, r);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(Math.min(15_000, 100 * 2 ** Math.min(attempt, 20)));
      }),
    );
    expect([0, 1, 2, 3, 99].map((attempt) => retryDelayMs(attempt, 0.5))).toEqual([50, 100, 200, 400, 7500]);
  });

  it('is long where only a person can help', () => {
    fc.assert(
      fc.property(random, (r) => {
        expect(slowDelayMs(r)).toBeGreaterThanOrEqual(5_000);
        expect(slowDelayMs(r)).toBeLessThanOrEqual(15_000);
      }),
    );
  });
});
