/** When a device counts as online, and what of a message is news for the ledger. Pure. */
import { z } from 'zod';
import { SESSION_S } from '../../protocol/bridge.ts';
import type { Heartbeat } from '../../protocol/messages.ts';
import type { DeviceReport, ReportedDevice } from '../../store/device-reports.ts';
import type { DeviceRow } from '../../store/devices.ts';

/** What a shard knows of a device at all times. Times are Unix milliseconds. */
export interface Presence {
  readonly serial_no: string;
  /** Its place in the packed blob. */
  readonly slot: number;
  online: boolean;
  last_seen: number;
  /** When its newest heartbeat was said ({@link saidAt}), Unix seconds: an older one is late and changes nothing. */
  said_at: number;
  /** When the broker said that it is gone; what was received before that does not bring it back. */
  gone_at: number;
  /** It is on the time wheel. */
  timed: boolean;
  /** As it said last; nothing after an eviction, until it is heard. */
  readings: Readings;
  /** What the ledger has of it; absent until it is first heard after an eviction. */
  record: Recorded | undefined;
}

/** What drifts: the ledger has it in steps only. */
export interface Readings {
  state?: string | undefined;
  battery?: number | undefined;
  temperature?: number | undefined;
}

/** A device's row in the ledger, as far as a heartbeat may differ from it. */
export interface Recorded {
  device_id: string;
  revoked: boolean;
  model: string;
  current_firmware: string | null;
  state: string | null;
  battery: number | null;
  temperature: number | null;
  apps: string | null;
  /** The `last_seen` that stands there. */
  last_seen: number;
}

/** The ledger's `last_seen` of a device that stays online may lag behind by this much. */
export const COARSE_MS = 6 * 3_600_000;

export function recordOf(row: DeviceRow): Recorded {
  return {
    device_id: row.id,
    revoked: row.revokedAt !== null || row.decommissionedAt !== null,
    model: row.model,
    current_firmware: row.currentFirmware,
    state: row.powerState,
    battery: row.battery,
    temperature: row.temperature,
    apps: row.apps === null ? null : canonical(row.apps),
    last_seen: row.lastSeen?.getTime() ?? 0,
  };
}

/** The same once a report was recorded: what that does not say stays. */
export function recordAfter(
  before: Recorded | undefined,
  { model, current_firmware, last_seen, state, battery, temperature, apps }: DeviceReport,
  { id, revokedAt, decommissionedAt }: ReportedDevice,
): Recorded {
  return {
    device_id: id,
    revoked: revokedAt !== null || decommissionedAt !== null,
    model,
    current_firmware,
    state: state ?? before?.state ?? null,
    battery: battery ?? before?.battery ?? null,
    temperature: temperature ?? before?.temperature ?? null,
    apps: apps === undefined ? (before?.apps ?? null) : canonical(apps),
    last_seen: last_seen.getTime(),
  };
}

/** Whether this heartbeat, received at `at`, tells the ledger something new of the device. */
export function isNews(known: Presence | undefined, heartbeat: Heartbeat, at: number): boolean {
  const record = known?.record;
  if (known === undefined || record === undefined) return true;
  if (record.revoked || isLate(known, heartbeat, at)) return false;
  return (
    !known.online ||
    record.model !== heartbeat.model ||
    record.current_firmware !== heartbeat.current_firmware ||
    (heartbeat.state !== undefined && record.state !== heartbeat.state) ||
    differsBy(record.battery, heartbeat.battery, 5) ||
    differsBy(record.temperature, heartbeat.temperature, 5) ||
    (heartbeat.apps !== undefined && record.apps !== canonical(heartbeat.apps))
  );
}

/** Whether a newer heartbeat of the device is known already, or it has gone since. */
export const isLate = (known: Presence, heartbeat: Heartbeat, at: number): boolean =>
  isBehind(known, heartbeat, at) || at < known.gone_at;

/**
 * Whether it was said before the newest that is known. One that seems older than anything under way was said by a clock
 * that was set back.
 */
export function isBehind(known: Presence, heartbeat: Heartbeat, at: number): boolean {
  const behind_s = known.said_at - saidAt(heartbeat.timestamp, at);
  return behind_s > 0 && behind_s <= SESSION_S;
}

/** A device's clock may be this far ahead of the bridge's, in seconds, and is still believed. */
const AHEAD_S = 60;
/** 2020: a clock that shows less was never set. */
export const UNSET_S = 1_577_836_800;

/**
 * When something was said, Unix seconds: by the device's clock, else, where that cannot be right, when it was received
 * (Unix milliseconds). One wrong clock must not make everything late that is said after it was set.
 */
export function saidAt(timestamp: number, receivedAt: number): number {
  const received = Math.floor(receivedAt / 1000);
  return timestamp < UNSET_S || timestamp > received + AHEAD_S ? received : timestamp;
}

/** Until when a device may be silent; `listeningSince` is since when it would have been heard. */
export function patientUntil(known: Presence, listeningSince: number, offlineAfterMs: number): number {
  return Math.max(known.last_seen, listeningSince) + offlineAfterMs;
}

/** Readings drift all the time; only a step is news. */
function differsBy(known: number | null, said: number | undefined, step: number): boolean {
  if (said === undefined) return false;
  return known === null || Math.abs(known - said) >= step;
}

/** What a device runs by its record; `undefined` where that is not known. */
export function shownBy(
  record: Recorded | undefined,
): { current_firmware: string; apps: Record<string, string> } | undefined {
  if (record === undefined || record.current_firmware === null) return undefined;
  const { current_firmware, apps } = record;
  return { current_firmware, apps: apps === null ? {} : parseCanonical(apps) };
}

/** The same apps always give the same text: a device and the database order keys as they like. */
function canonical(apps: Record<string, string>): string {
  return JSON.stringify(Object.entries(apps).sort(([a], [b]) => (a < b ? -1 : 1)));
}

const appList = z.array(z.tuple([z.string(), z.string()]));
const parseCanonical = (apps: string): Record<string, string> =>
  Object.fromEntries(appList.parse(JSON.parse(apps)));
