/** Device messages as the shard takes them: parsed, and with the identity that makes a repeated one harmless. */
import type { Heartbeat, Notification, UpdateReport } from '../../protocol/messages.ts';

interface Received {
  serial_no: string;
  /** When the bridge or the edge received it, Unix milliseconds. */
  received_at: number;
}

/** What must be taken once, however often it comes; a heartbeat again says nothing new. */
export type SingleMessage = Received & {
  /** A digest of topic and payload. */
  digest: string;
} & (
    | { kind: 'offline' }
    | { kind: 'report'; report: UpdateReport }
    | { kind: 'notify'; notification: Notification }
  );

export type HeartbeatMessage = Received & { kind: 'heartbeat'; heartbeat: Heartbeat };

export type DeviceMessage = HeartbeatMessage | SingleMessage;

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
  /** It was offline until then. */
  back?: boolean;
}

/** A report as a campaign object hears of it. */
export interface Reported {
  serial_no: string;
  /** Of its message. */
  digest: string;
  report: UpdateReport;
}
