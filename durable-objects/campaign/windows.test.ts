import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maintenanceWindow } from '../../protocol/api.ts';
import { waitForWindow } from './windows.ts';

const window = (more: object) => maintenanceWindow.parse({ from: '22:00', to: '04:00', ...more });
const at = (text: string) => new Date(text).getTime();
const HOUR = 3_600_000;

describe('a maintenance window', () => {
  it('is open from its beginning to its end, over midnight too', () => {
    const nightly = [window({})];
    expect(waitForWindow(nightly, null, at('2026-11-20T21:59:30Z'))).toBe(30_000);
    expect(waitForWindow(nightly, null, at('2026-11-20T22:00:00Z'))).toBe(0);
    expect(waitForWindow(nightly, null, at('2026-11-21T03:59:59Z'))).toBe(0);
    expect(waitForWindow(nightly, null, at('2026-11-21T04:00:00Z'))).toBe(18 * HOUR);
  });

  it('on some days only: the night that begins on them', () => {
    const saturdays = [window({ days: ['sat'] })];
    // 2026-11-20 is a Friday.
    expect(waitForWindow(saturdays, null, at('2026-11-20T23:00:00Z'))).toBe(23 * HOUR);
    expect(waitForWindow(saturdays, null, at('2026-11-22T03:00:00Z'))).toBe(0);
    expect(waitForWindow(saturdays, null, at('2026-11-22T23:00:00Z'))).toBe(6 * 24 * HOUR - HOUR);
  });

  it("follows its time zone, summer and winter, and each device's own where it says so", () => {
    const berlin = [window({ time_zone: 'Europe/Berlin' })];
    expect(waitForWindow(berlin, null, at('2026-11-20T21:00:00Z'))).toBe(0);
    expect(waitForWindow(berlin, null, at('2026-07-20T20:00:00Z'))).toBe(0);
    expect(waitForWindow(berlin, null, at('2026-11-20T20:00:00Z'))).toBe(HOUR);
    const own = [window({ time_zone: 'device', fallback_time_zone: 'Asia/Tokyo' })];
    expect(waitForWindow(own, 'America/New_York', at('2026-11-21T03:00:00Z'))).toBe(0);
    expect(waitForWindow(own, null, at('2026-11-21T13:00:00Z'))).toBe(0);
    expect(waitForWindow(own, null, at('2026-11-21T03:00:00Z'))).toBe(10 * HOUR);
  });

  it('is open when one waits for as long as it says, and the earliest of several counts', () => {
    const times = fc.integer({ min: 0, max: 23 }).map((h) => `${String(h).padStart(2, '0')}:30`);
    const days = fc.subarray(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const, { minLength: 1 });
    const one = fc.record({ days, from: times, to: times }).map((w) => maintenanceWindow.parse(w));
    const moment = fc.integer({ min: at('2026-01-01T00:00:00Z'), max: at('2027-01-01T00:00:00Z') });
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 4 }), moment, (list, now) => {
        const wait = waitForWindow(list, null, now);
        expect(wait).toBeLessThanOrEqual(7 * 24 * HOUR);
        expect(waitForWindow(list, null, now + wait)).toBe(0);
        expect(wait).toBe(Math.min(...list.map((w) => waitForWindow([w], null, now))));
      }),
    );
  });

  it('opens at its hour also behind a change of clocks, and where that skips its beginning', () => {
    const early = { from: '03:00', to: '03:30', time_zone: 'Europe/Berlin' };
    const weekly = [window({ ...early, days: ['sun'] })];
    // The night to 2026-03-29 has no hour from 02:00 on, the one to 2026-10-25 has it twice.
    const saturday = at('2026-03-28T22:00:30Z');
    expect(waitForWindow(weekly, null, saturday)).toBe(3 * HOUR - 30_000);
    expect(waitForWindow(weekly, null, at('2026-10-24T21:00:00Z'))).toBe(5 * HOUR);
    const skipped = [window({ ...early, from: '02:30', to: '04:00' })];
    const later = saturday + waitForWindow(skipped, null, saturday);
    expect(later).toBeLessThan(at('2026-03-29T02:00:00Z'));
    expect(waitForWindow(skipped, null, later)).toBe(0);
    // What is left of it is open right behind the change; of one that is skipped whole nothing is.
    const rest = [window({ ...early, from: '02:40', to: '03:10' })];
    expect(saturday + waitForWindow(rest, null, saturday)).toBe(at('2026-03-29T01:00:00Z'));
    const gone = [window({ ...early, from: '02:10', to: '02:50' })];
    expect(saturday + waitForWindow(gone, null, saturday)).toBe(at('2026-03-30T00:10:00Z'));
  });

  it('is no limit where there is none', () => {
    expect(waitForWindow([], null, 0)).toBe(0);
  });
});
