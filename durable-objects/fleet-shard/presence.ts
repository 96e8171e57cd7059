/** When a device counts as online, and what of a message is news for the ledger. Pure. */
import type { Heartbeat } from '../../protocol/messages.ts';

/** What a shard knows of a device. Times are Unix milliseconds. */
export interface Presence {
  device_id: string;
  revoked: boolean;
  online: boolean;
  last_seen: number;
  model: string;
  current_firmware: string | null;
  group: string | null;
  state: string | null;
  battery: number | null;
  temperature: number | null;
  apps: string | null;
  /** The device's own clock at its newest heartbeat: an older one is late and changes nothing. */
  said_at: number;
  /** The `last_seen` that stands in the ledger. */
  recorded_at: number;
}

/** The ledger's `last_seen` may lag behind by this much. */
export const COARSE_MS = 15 * 60_000;

/** Whether this heartbeat tells the ledger something new of the device. */
export function isNews(known: Presence | undefined, heartbeat: Heartbeat, at: number): boolean {
  if (known === undefined) return true;
  if (isLate(known, heartbeat)) return false;
  return (
    !known.online ||
    known.model !== heartbeat.model ||
    known.current_firmware !== heartbeat.current_firmware ||
    (heartbeat.state !== undefined && known.state !== heartbeat.state) ||
    differsBy(known.battery, heartbeat.battery, 5) ||
    differsBy(known.temperature, heartbeat.temperature, 5) ||
    (heartbeat.apps !== undefined && known.apps !== JSON.stringify(heartbeat.apps)) ||
    at - known.recorded_at > COARSE_MS
  );
}

/** Whether a newer heartbeat of the device is known already. */
export function isLate(known: Presence, heartbeat: Heartbeat): boolean {
  return heartbeat.timestamp < known.said_at;
}

/** Whether a device has been silent for too long. */
export function isSilent(known: Presence, now: number, offlineAfterMs: number): boolean {
  return known.online && now - known.last_seen > offlineAfterMs;
}

/** Readings drift all the time; only a step is news. */
function differsBy(known: number | null, said: number | undefined, step: number): boolean {
  if (said === undefined) return false;
  return known === null || Math.abs(known - said) >= step;
}
