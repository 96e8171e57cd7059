/** When to try again. Pure. */

const FIRST_MS = 100;
const LONGEST_MS = 15_000;

/** Exponential with full jitter: a random time up to 100 ms · 2ᵃᵗᵗᵉᵐᵖᵗ, at most 15 s. `random` is in [0, 1). */
export function retryDelayMs(attempt: number, random: number): number {
  return Math.round(random * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 20)));
}

/** For what only a person can mend, such as a wrong credential: 5 s to 15 s. `random` is in [0, 1). */
export function slowDelayMs(random: number): number {
  return Math.round(5_000 + random * 10_000);
}
