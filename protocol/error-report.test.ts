import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorReport, errorReportOf, type Tally } from './error-report.ts';

/** The counts of these devices, as the ledger makes them. */
function tally(devices: readonly { error: string | null; version: string | null; group: string | null }[]) {
  const count = (by: Tally['by'], pick: (d: (typeof devices)[number]) => string | null): Tally[] =>
    [...Map.groupBy(devices, (d) => JSON.stringify([d.error, pick(d)])).values()].flatMap((same) => {
      const [first] = same;
      return first === undefined ? [] : [{ by, error: first.error, value: pick(first), count: same.length }];
    });
  return [
    ...count('all', () => null),
    ...count('previous_version', (d) => d.version),
    ...count('group', (d) => d.group),
  ];
}

describe('a report on errors', () => {
  it('says which errors there were, and what the devices that had them have in common', () => {
    const device = (error: string | null, version: string, group: string | null) => ({
      error,
      version,
      group,
    });
    const report = errorReportOf(
      tally([
        device('boot_failure', 'v1.0.1', 'lab'),
        device('boot_failure', 'v1.0.1', null),
        device('boot_failure', 'v1.0.2', null),
        device('no_space', 'v1.0.2', null),
        device(null, 'v1.0.2', 'lab'),
        device(null, 'v1.0.2', null),
        device(null, 'v1.0.2', null),
        device(null, 'v1.0.2', null),
      ]),
      'TX-100',
      false,
    );
    expect(report).toMatchObject({ finished: 8, failed: 4 });
    expect(report.items.map(({ error, count, share, rate }) => [error, count, share, rate])).toEqual([
      ['boot_failure', 3, 75, 37.5],
      ['no_space', 1, 25, 12.5],
    ]);
    expect(report.items[0]?.by_previous_version).toEqual([
      { value: 'v1.0.1', count: 2, share: 66.7, finished: 2, rate: 100 },
      { value: 'v1.0.2', count: 1, share: 33.3, finished: 6, rate: 16.7 },
    ]);
    expect(report.items[0]?.by_group).toEqual([
      { value: null, count: 2, share: 66.7, finished: 6, rate: 33.3 },
      { value: 'lab', count: 1, share: 33.3, finished: 2, rate: 50 },
    ]);
    expect(report.items[0]?.by_model).toEqual([
      { value: 'TX-100', count: 3, share: 100, finished: 8, rate: 37.5 },
    ]);
  });

  it('counts every device once in each of its views', () => {
    const maybe = (...values: string[]) => fc.constantFrom(null, ...values);
    const device = fc.record({
      error: maybe('a', 'b', 'c'),
      version: maybe('v1', 'v2'),
      group: maybe('x', 'y', 'z'),
    });
    fc.assert(
      fc.property(fc.array(device), (devices) => {
        const report = errorReport.parse(errorReportOf(tally(devices), 'TX', false));
        expect(report.finished).toBe(devices.length);
        expect(report.failed).toBe(devices.filter(({ error }) => error !== null).length);
        for (const { count, by_model, by_previous_version, by_group } of report.items) {
          for (const shares of [by_model, by_previous_version, by_group]) {
            expect(shares.reduce((n, share) => n + share.count, 0)).toBe(count);
          }
        }
      }),
    );
  });
});
