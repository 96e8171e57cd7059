import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Pace } from './pace.ts';

describe('the pace of a campaign', () => {
  it('is the rate that was asked for, slow or fast, whenever it is looked at', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 100_000 })),
        fc.array(fc.integer({ min: 900, max: 1100 }), { minLength: 60, maxLength: 600 }),
        (rate, ticks) => {
          const pace = new Pace();
          let [now, begun] = [1_800_000_000_000, 0];
          begun += pace.take(now, rate, 1_000_000);
          for (const ms of ticks) {
            now += ms;
            begun += pace.take(now, rate, 1_000_000);
          }
          const minutes = (now - 1_800_000_000_000) / 60_000;
          const atOnce = Math.max(1, rate / 60);
          expect(begun).toBeLessThanOrEqual(rate * minutes + atOnce + 1e-6);
          // A tick that comes late loses a little of a very fast rate.
          expect(begun).toBeGreaterThan(rate * minutes - 1);
        },
      ),
    );
  });

  it('is kept over the end of its object: a restart lets nobody begin before their time', () => {
    const pace = new Pace();
    expect(pace.take(0, 1, 5)).toBe(1);
    const again = new Pace(JSON.parse(JSON.stringify(pace.level)));
    expect(again.take(16_000, 1, 5)).toBe(0);
    expect(again.take(60_000, 1, 5)).toBe(1);
  });

  it('does not make up for the time in which nobody could begin', () => {
    const pace = new Pace();
    pace.take(0, 60, 0);
    expect(pace.take(3_600_000, 60, 1000)).toBe(2);
    const slow = new Pace();
    slow.take(0, 59, 0);
    expect(slow.take(3_600_000, 59, 1000)).toBe(1);
    const fast = new Pace();
    fast.take(0, 6000, 0);
    expect(fast.take(3_600_000, 6000, 1000)).toBe(126);
  });
});
