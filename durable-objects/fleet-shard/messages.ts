/** Device messages as the shard takes them: parsed, and each with the identity that makes a repeated one harmless. */
import type { Heartbeat, Notification, UpdateReport } from '../../protocol/messages.ts';

interface Received {
  serial_no: string;
  /** When the bridge or the edge received it, Unix milliseconds. */
  received_at: number;
  /** A digest of topic and payload. */
  digest: string;
}

export type DeviceMessage = Received &
  (
    | { kind: 'heartbeat'; heartbeat: Heartbeat }
    | { kind: 'offline' }
    | { kind: 'report'; report: UpdateReport }
    | { kind: 'notify'; notification: Notification }
  );

/** A message the shard could not take, by its place in what it was given. */
export interface Refusal {
  index: number;
  reason: string;
}

/** A heartbeat as a campaign object hears of it. */
export interface Heard {
  serial_no: string;
  current_firmware: string;
  apps: Record<string, string>;
}

/** A report as a campaign object hears of it. */
export interface Reported {
  serial_no: string;
  /** Of its message. */
  digest: string;
  report: UpdateReport;
}
