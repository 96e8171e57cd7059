/** Heartbeats of a fleet, one device after the other. */
import type { Message } from './rig.ts';

/** More than a bridge holds at a time, so that none supersedes another. */
const DEVICES = 32_768;
/** One heartbeat in so many says something new: at the real edge each full batch waits for a transaction. */
const NEWS = 100;

export const heartbeat: Message = (n) => {
  const round = Math.floor(n / DEVICES);
  return heartbeatOf(`BENCH-${n % DEVICES}`, (n + round) % NEWS === 0 ? `state-${round}` : undefined);
};

/** Each from a device that was never heard before. */
export const firstHeartbeat: Message = (n) => heartbeatOf(`NEW-${n}`);

function heartbeatOf(serial_no: string, state?: string): ReturnType<Message> {
  const timestamp = Math.floor(Date.now() / 1000);
  return {
    topic: `devices/${serial_no}/heartbeat`,
    payload: JSON.stringify({ serial_no, model: 'BENCH', current_firmware: 'v1.0.0', timestamp, state }),
  };
}
