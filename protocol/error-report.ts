/** The JSON of the report on a campaign's failures: which there are, and what the devices have in common. */
import { z } from 'zod';

const percent = z.number().min(0).max(100);

/** The devices that failed alike and have one more thing in common. */
export const errorShare = z.object({
  /** Null where nobody has said: no group, or a version that is not known. */
  value: z.string().nullable(),
  count: z.int(),
  /** Of all devices that failed with this error. */
  share: percent,
  /** How many of the campaign's devices with this value have finished, whatever came of it. */
  finished: z.int(),
  /** Of those, how many failed with this error. */
  rate: percent,
});
export type ErrorShare = z.infer<typeof errorShare>;

/** The devices whose update failed, or was rolled back, with one error. */
export const errorGroup = z.object({
  error: z.string(),
  count: z.int(),
  /** Of all devices that failed. */
  share: percent,
  /** Of all devices that have finished. */
  rate: percent,
  by_model: z.array(errorShare),
  by_previous_version: z.array(errorShare),
  by_group: z.array(errorShare),
});
export type ErrorGroup = z.infer<typeof errorGroup>;

/** Shares and rates are in percent. The 100 most frequent errors, of each the 20 most frequent values. */
export const errorReport = z.object({
  /** Devices that have finished: completed, failed or rolled back. */
  finished: z.int(),
  /** Those that failed or were rolled back. */
  failed: z.int(),
  archived: z.boolean(),
  items: z.array(errorGroup),
});
export type ErrorReport = z.infer<typeof errorReport>;

/** What devices are counted by. */
type Dimension = 'all' | 'previous_version' | 'group';

/** How many devices that have finished ended with an error, or without (null), and have a value. */
export interface Tally {
  by: Dimension;
  error: string | null;
  value: string | null;
  count: number;
}

const ERRORS = 100;
const VALUES = 20;

const sum = (tallies: readonly Tally[]): number => tallies.reduce((n, { count }) => n + count, 0);
const percentOf = (n: number, all: number): number => (all === 0 ? 0 : Math.round((n / all) * 1000) / 10);

/** The report, out of the counts. All devices of a campaign are of its firmware's `model`. */
export function errorReportOf(tallies: readonly Tally[], model: string, archived: boolean): ErrorReport {
  const of = Map.groupBy(tallies, ({ by }) => by);
  const all = of.get('all') ?? [];
  const finished = sum(all);
  const errors = all
    .flatMap(({ error, count }) => (error === null ? [] : [{ error, count }]))
    .sort(mostFirst);
  const failed = errors.reduce((n, { count }) => n + count, 0);
  const items = errors.slice(0, ERRORS).map(({ error, count }) => ({
    error,
    count,
    share: percentOf(count, failed),
    rate: percentOf(count, finished),
    by_model: [{ value: model, count, share: 100, finished, rate: percentOf(count, finished) }],
    by_previous_version: sharesOf(of.get('previous_version') ?? [], error, count),
    by_group: sharesOf(of.get('group') ?? [], error, count),
  }));
  return { finished, failed, archived, items };
}

function sharesOf(tallies: readonly Tally[], error: string, all: number): ErrorShare[] {
  const shares = [...Map.groupBy(tallies, ({ value }) => value)].flatMap(([value, same]) => {
    const count = sum(same.filter((tally) => tally.error === error));
    const finished = sum(same);
    const rate = percentOf(count, finished);
    return count === 0 ? [] : [{ value, count, share: percentOf(count, all), finished, rate }];
  });
  return shares.sort(mostFirst).slice(0, VALUES);
}

const mostFirst = (a: { count: number }, b: { count: number }): number => b.count - a.count;
