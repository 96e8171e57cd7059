/**
 * A device in a rehearsal: it is there when its record of the last week says so, and its update ends as chance has
 * it. Pure: the same seed plays the same device the same way.
 */
import { hash32 } from '../../../protocol/shards.ts';
import type { FoundDevice } from '../found.ts';

const WEEK_MS = 7 * 86_400_000;

/** When a device came and went in the week before the rehearsal, as Unix milliseconds, oldest first. */
export interface Presence {
  /** Whether it was there when the week began. */
  before: boolean;
  changes: number[];
}

export interface RecordedDevice {
  device: FoundDevice;
  presence: Presence;
}

/** What the updates of this model came to so far. Rates are fractions of 1. */
export interface PastUpdates {
  failed: number;
  rollback: number;
  timeout: number;
  /** From offer to end in milliseconds, as quantiles from the shortest to the longest. At least one. */
  durations: number[];
}

export type Ending = 'completed' | 'failed' | 'rollback' | 'timeout';

/** Whether it is there at a moment: the week that was `recorded` up to then repeats itself. */
export function isThere({ before, changes }: Presence, at: number, recorded: number): boolean {
  const then = recorded - WEEK_MS + ((at - recorded) % WEEK_MS);
  const passed = changes.findIndex((change) => change > then);
  return before !== ((passed === -1 ? changes.length : passed) % 2 === 1);
}

/** When it is there next, from `at` on; `undefined` where it never is. */
export function thereFrom(presence: Presence, at: number, recorded: number): number | undefined {
  if (isThere(presence, at, recorded)) return at;
  const { changes } = presence;
  const weeks = Math.floor((at - recorded) / WEEK_MS);
  for (let week = weeks; week <= weeks + 1; week += 1) {
    for (const change of changes) {
      const then = change + (week + 1) * WEEK_MS;
      if (then > at && isThere(presence, then, recorded)) return then;
    }
    const start = recorded + (week + 1) * WEEK_MS;
    if (start > at && isThere(presence, start, recorded)) return start;
  }
  return undefined;
}

/** How this attempt of this device ends, and how long it takes. */
export function play(
  serialNo: string,
  attempt: number,
  seed: number,
  past: PastUpdates,
): { ending: Ending; tookMs: number } {
  const chance = fraction(`${serialNo} ${attempt} ${seed} end`);
  const durations = past.durations;
  const at = Math.floor(fraction(`${serialNo} ${attempt} ${seed} length`) * durations.length);
  return { ending: endingAt(chance, past), tookMs: durations[at] ?? 0 };
}

function endingAt(chance: number, { failed, rollback, timeout }: PastUpdates): Ending {
  if (chance < failed) return 'failed';
  if (chance < failed + rollback) return 'rollback';
  return chance < failed + rollback + timeout ? 'timeout' : 'completed';
}

const fraction = (text: string): number => hash32(text) / 2 ** 32;
