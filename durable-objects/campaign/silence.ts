/**
 * Devices that fall silent after their update: compared with those that were not updated yet, since every fleet loses
 * some. Needs nothing from the device. Pure.
 */

/** Devices looked at, and those of them that are silent. */
export interface Sample {
  devices: number;
  silent: number;
}

/** As unlikely as this, and it is no accident. */
const SIGNIFICANT = 0.05;
/** Fewer devices than this say nothing about what is usual. */
const LEAST_CONTROL = 5;

/** Whether the control group is large enough to tell what is usual. */
export const isTelling = ({ devices }: Sample): boolean => devices >= LEAST_CONTROL;

/**
 * How many of the updated devices are silent beyond what is usual; 0 where that may well be chance, or nobody knows
 * what is usual. The usual share is estimated from the control group with a quarter of a device added to each side, so
 * that five which are all there suffice to notice the first that is not; and the excess must be significant by the
 * binomial distribution.
 */
export function excessSilence(updated: Sample, control: Sample): number {
  if (updated.silent === 0 || !isTelling(control)) return 0;
  const usual = (control.silent + 0.25) / (control.devices + 0.5);
  if (atLeast(updated.silent, updated.devices, usual) >= SIGNIFICANT) return 0;
  return Math.max(0, updated.silent - usual * updated.devices);
}

/** The probability of `k` or more out of `n`, each with probability `p`. */
function atLeast(k: number, n: number, p: number): number {
  let term = (1 - p) ** n;
  let below = 0;
  for (let i = 0; i < k; i += 1) {
    below += term;
    term *= ((n - i) / (i + 1)) * (p / (1 - p));
  }
  return Math.max(0, 1 - below);
}
