/** Presence out of a ledger row, and what a heartbeat makes of it. */
import type { Heartbeat } from '../../protocol/messages.ts';
import type { DeviceRow } from '../../store/devices.ts';
import type { Presence } from './presence.ts';

/** What the ledger knows. `said_at` starts at 0: the device's clock is not kept there. */
export function presenceOf(row: DeviceRow): Presence {
  return {
    device_id: row.id,
    revoked: row.revokedAt !== null,
    online: row.status !== 'offline',
    last_seen: row.lastSeen?.getTime() ?? 0,
    model: row.model,
    current_firmware: row.currentFirmware,
    group: row.group,
    state: row.powerState,
    battery: row.battery,
    temperature: row.temperature,
    apps: row.apps === null ? null : JSON.stringify(row.apps),
    said_at: 0,
    recorded_at: row.lastSeen?.getTime() ?? 0,
  };
}

/** The same device after a heartbeat that is not late. */
export function withHeartbeat(known: Presence, heartbeat: Heartbeat, receivedAt: number): Presence {
  return {
    ...known,
    last_seen: Math.max(known.last_seen, receivedAt),
    said_at: heartbeat.timestamp,
    model: heartbeat.model,
    current_firmware: heartbeat.current_firmware,
    state: heartbeat.state ?? known.state,
    apps: heartbeat.apps === undefined ? known.apps : JSON.stringify(heartbeat.apps),
  };
}
