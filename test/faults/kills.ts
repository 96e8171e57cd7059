/** Parts killed outright, one at a time, at random moments. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Platform } from '../../local/platform.ts';

export interface Kill {
  part: string;
  /** Everything acknowledged before that stands in the ledger. Unix milliseconds, like the other times. */
  since: number;
  at: number;
  /** When it ran again. */
  until: number;
}

/** The random moment comes at most this long after the part before it runs again. */
const LATEST_MS = 2000;

/**
 * Kills each of these parts in turn, the next one when the last one runs again and everything said until then has
 * arrived: after a broker was killed its bridge has the only copy, and is not to be killed as well. `arrived` answers
 * since when everything acknowledged before stands in the ledger.
 */
export async function killInTurn(
  platform: Platform,
  parts: readonly string[],
  random: () => number,
  arrived: (before: readonly Kill[]) => Promise<number>,
): Promise<Kill[]> {
  const kills: Kill[] = [];
  for (const part of parts) {
    const since = await arrived(kills);
    // The moment itself is what is random here; there is nothing to wait for.
    await wait(random() * LATEST_MS);
    const pid = platform.facts.pids[part];
    if (pid === undefined) throw new Error(`there is no part ${part}`);
    const again = platform.startedAgain(part);
    const at = Date.now();
    process.kill(pid, 'SIGKILL');
    const words = await Promise.race([again, platform.died]);
    if (words !== undefined) throw new Error(words);
    kills.push({ part, since, at, until: Date.now() });
  }
  return kills;
}
