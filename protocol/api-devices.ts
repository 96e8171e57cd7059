/** Devices, their settings and what happened to them, as the API has them. */
import { z } from 'zod';
import { isStorable, label, model, serialNo, time, UNSTORABLE } from './identifiers.ts';

export const DEVICE_STATUSES = ['online', 'offline', 'updating'] as const;
export const deviceStatus = z.enum(DEVICE_STATUSES);
export type DeviceStatus = z.infer<typeof deviceStatus>;

export const device = z.object({
  id: z.uuid(),
  serial_no: serialNo,
  model,
  current_firmware: z.string().nullable(),
  target_version: z.string().nullable(),
  status: deviceStatus,
  last_seen: time.nullable(),
  group: z.string().nullable(),
  tags: z.array(z.string()),
  metadata: z.record(z.string(), z.unknown()),
  /** Power state, in the device's own words. */
  state: z.string().nullable(),
  /** Percent. */
  battery: z.number().nullable(),
  /** °C. */
  temperature: z.number().nullable(),
  apps: z.record(z.string(), z.string()),
  /** False while it waits for an operator: it registered itself and the settings say "approve first". */
  approved: z.boolean(),
  revoked: z.boolean(),
  /** Out of service for good. */
  decommissioned: z.boolean(),
  created_at: time,
  updated_at: time,
});
export type Device = z.infer<typeof device>;

const MAX_METADATA = 65_536;
/** Objects within objects. */
const MAX_DEPTH = 32;
const metadata = z
  .record(z.string().max(128), z.unknown())
  .refine((said) => !isDeeper(said, MAX_DEPTH), { error: `at most ${MAX_DEPTH} levels deep`, abort: true })
  .refine((said) => JSON.stringify(said).length <= MAX_METADATA, `at most ${MAX_METADATA} characters as JSON`)
  .refine(isStorableJson, UNSTORABLE);
/** Tags of one device, at most. */
export const MAX_TAGS = 50;
const tags = z
  .array(label)
  .max(MAX_TAGS)
  .overwrite((said) => [...new Set(said)]);

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isDeeper(part, levels - 1));
}

function isStorableJson(value: unknown): boolean {
  if (typeof value === 'string') return isStorable(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([key, part]) => isStorable(key) && isStorableJson(part));
}

export const registerDevice = z.object({
  serial_no: serialNo,
  model,
  group: label.nullish(),
  tags: tags.optional(),
  metadata: metadata.optional(),
});
export type RegisterDevice = z.infer<typeof registerDevice>;

export const changeDevice = z.object({
  group: label.nullish(),
  tags: tags.optional(),
  metadata: metadata.optional(),
});
export type ChangeDevice = z.infer<typeof changeDevice>;

/** One entry of a device's timeline. */
export const deviceEvent = z.object({
  id: z.string(),
  at: time,
  kind: z.string(),
  detail: z.record(z.string(), z.unknown()),
});
export type DeviceEvent = z.infer<typeof deviceEvent>;

/** What happened to a setting: somebody asked for a value, or the device said that it has one. */
export const CONFIG_CHANGES = ['requested', 'confirmed'] as const;

/** One entry of the history of a device's settings. */
export const configChange = z.object({
  id: z.string(),
  at: time,
  key: z.string(),
  kind: z.enum(CONFIG_CHANGES),
  value: z.string(),
  old_value: z.string().nullable(),
  /** Who asked for it; null where the device said so. */
  actor: z.string().nullable(),
});
export type ConfigChange = z.infer<typeof configChange>;

export const configEntry = z.object({
  key: z.string(),
  value: z.string().nullable(),
  pending_value: z.string().nullable(),
  /** Until when the device may confirm the pending value; afterwards the request has expired. */
  pending_until: time.nullable(),
  state: z.enum(['confirmed', 'pending', 'expired']),
  updated_at: time,
});
export type ConfigEntry = z.infer<typeof configEntry>;

export const deviceCommand = z.object({ command: z.literal('reboot') });
