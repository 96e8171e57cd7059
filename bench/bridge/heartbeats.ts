/** Heartbeats of a fleet, one device after the other. */
import type { Message } from './rig.ts';

/** More than a bridge holds at a time, so that none supersedes another. */
export const DEVICES = 32_768;
/** One heartbeat in so many says something new: at the real edge each full batch waits for a transaction. */
const NEWS = 100;

export const serialOf = (n: number): string => `BENCH-${n % DEVICES}`;

/** What is new in the `n`th heartbeat, if anything is. */
export function newsOf(n: number): string | undefined {
  const round = Math.floor(n / DEVICES);
  return (n + round) % NEWS === 0 ? `state-${round}` : undefined;
}

export const heartbeat: Message = (n) => {
  const serial_no = serialOf(n);
  const timestamp = Math.floor(Date.now() / 1000);
  return {
    topic: `devices/${serial_no}/heartbeat`,
    payload: JSON.stringify({
      serial_no,
      model: 'BENCH',
      current_firmware: 'v1.0.0',
      timestamp,
      state: newsOf(n),
    }),
  };
};
