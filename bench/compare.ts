/** Ratios against a baseline measured in the same run: both sides in turn, medians of the pairs. */

const PAIRS = 5;

export interface Result {
  name: string;
  /** Median of the pairs' ratios; or, where nothing is timed, the figure itself. */
  ratio: number;
  goal: string;
  /** Medians, with their unit. */
  measured: string;
  baseline: string;
}

/** From the command line. */
export interface BenchOptions {
  /** Sizes of the fleets whose cost is worked out. */
  devices: number[];
}

/** A file of `bench/`: measures, and cleans up after itself. */
export type Bench = (options: BenchOptions) => Promise<Result[]>;

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** The value under which the share `of` (0–1) of the values lies. */
export const quantile = (values: readonly number[], of: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * of))] ?? 0;

/**
 * Both sides in turn, so that a machine that slows down slows both. Each answers with a figure in `unit`, how much it
 * did per second or how long it took; the first pair warms up and does not count.
 */
export async function compare(
  name: string,
  goal: string,
  unit: string,
  side: () => Promise<number>,
  baseline: () => Promise<number>,
  pairs = PAIRS,
): Promise<Result> {
  await side();
  await baseline();
  const measured: [number, number][] = [];
  for (let pair = 0; pair < pairs; pair += 1) measured.push([await side(), await baseline()]);
  const show = (index: 0 | 1) => `${median(measured.map((p) => p[index])).toFixed(1)} ${unit}`;
  return {
    name,
    goal,
    ratio: median(measured.map(([a, b]) => a / b)),
    measured: show(0),
    baseline: show(1),
  };
}

/** How many of `amount` were done in a second. */
export async function perSecond(amount: number, work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return amount / ((performance.now() - started) / 1000);
}
