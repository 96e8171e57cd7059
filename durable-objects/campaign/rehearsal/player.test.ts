import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isThere, type Presence, play, thereFrom } from './player.ts';

const HOUR = 3_600_000;
const WEEK = 7 * 24 * HOUR;
const BEGAN = 1_800_000_000_000;

/** There between two hours of the week that is on record. */
const between = (from: number, to: number): Presence => ({
  before: false,
  changes: [BEGAN - WEEK + from * HOUR, BEGAN - WEEK + to * HOUR],
});

const presence = fc
  .record({
    before: fc.boolean(),
    changes: fc.uniqueArray(fc.integer({ min: 1, max: 167 }), { maxLength: 8 }),
  })
  .map(
    ({ before, changes }): Presence => ({
      before,
      changes: changes.sort((a, b) => a - b).map((hour) => BEGAN - WEEK + hour * HOUR),
    }),
  );

describe('a device in a rehearsal', () => {
  it('is there at the hours at which it was there last week, every week', () => {
    const workday = between(8, 17);
    for (const week of [0, 1, 5]) {
      expect(isThere(workday, BEGAN + week * WEEK + 7 * HOUR, BEGAN)).toBe(false);
      expect(isThere(workday, BEGAN + week * WEEK + 8 * HOUR, BEGAN)).toBe(true);
      expect(isThere(workday, BEGAN + week * WEEK + 17 * HOUR, BEGAN)).toBe(false);
    }
    expect(thereFrom(workday, BEGAN + 18 * HOUR, BEGAN)).toBe(BEGAN + WEEK + 8 * HOUR);
  });

  it('comes back at the first moment at which it is there, or never', () => {
    fc.assert(
      fc.property(presence, fc.integer({ min: 0, max: 400 }), (recorded, hours) => {
        const at = BEGAN + hours * HOUR;
        const next = thereFrom(recorded, at, BEGAN);
        const byHour = Array.from({ length: 169 }, (_, hour) => at + hour * HOUR);
        expect(next).toBe(byHour.find((moment) => isThere(recorded, moment, BEGAN)));
      }),
    );
  });

  it('fails as often as the updates before it did, the same way each time it is played', () => {
    const past = { failed: 0.1, rollback: 0.2, timeout: 0.1, durations: [1000, 2000] };
    const endings = Array.from({ length: 5000 }, (_, n) => play(`D-${n}`, 1, 3, past));
    const share = (ending: string) => endings.filter((e) => e.ending === ending).length / endings.length;
    expect(share('failed')).toBeCloseTo(0.1, 1);
    expect(share('rollback')).toBeCloseTo(0.2, 1);
    expect(share('timeout')).toBeCloseTo(0.1, 1);
    expect(play('D-1', 1, 3, past)).toEqual(endings[1]);
  });
});
