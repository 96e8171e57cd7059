/** What devices and the cloud say to each other over MQTT (QoS 1, JSON, UTF-8; times in Unix seconds). */
import { z } from 'zod';
import { appName, checksum, model, serialNo, text, versionText } from './identifiers.ts';

const timestamp = z.int().min(0).max(4_102_444_800);

/** What people read, perhaps cut out of a log: kept with what cannot be kept replaced. */
const prose = (max: number) =>
  z
    .string()
    .max(max)
    .overwrite((said) => said.toWellFormed().replaceAll('\0', '\u{fffd}'));

/** `devices/{serial_no}/heartbeat` */
export const heartbeat = z.object({
  serial_no: serialNo,
  model,
  current_firmware: versionText,
  timestamp,
  state: text(32).optional(),
  battery: z.number().min(0).max(100).optional(),
  temperature: z.number().min(-273.15).max(1000).optional(),
  apps: z.record(text(64), versionText).optional(),
  group: text(64).optional(),
});
export type Heartbeat = z.infer<typeof heartbeat>;

/** What a device says of its update, in the order it passes through them; the last five end or suspend it. */
export const updateReportStatus = z.enum([
  'downloading',
  'installing',
  'rebooting',
  'completed',
  'failed',
  'rollback',
  'rejected',
  'deferred',
]);
export type UpdateReportStatus = z.infer<typeof updateReportStatus>;

/** `devices/{serial_no}/status`: one step of an update. */
export const updateReport = z.object({
  campaign_id: z.uuid(),
  status: updateReportStatus,
  progress: z.number().min(0).max(100).optional(),
  error: prose(64).optional(),
  detail: prose(2000).optional(),
  current_firmware: versionText.optional(),
  failed_firmware: versionText.optional(),
  /** With `deferred`: when to offer it again. */
  until: timestamp.optional(),
  timestamp,
});
export type UpdateReport = z.infer<typeof updateReport>;

/** `devices/{serial_no}/status`: the last will, published by the broker when a device is gone. */
export const offlineReport = z.object({ status: z.literal('offline'), timestamp: timestamp.optional() });
export type OfflineReport = z.infer<typeof offlineReport>;

/** Everything that may arrive on `devices/{serial_no}/status`. */
export const statusMessage = z.discriminatedUnion('status', [updateReport, offlineReport]);

/** `devices/{serial_no}/notify`: a setting changed on the device. */
export const notification = z.object({
  setting_changed: text(128).min(1),
  old_value: text(4096).nullish(),
  new_value: text(4096),
  timestamp,
});
export type Notification = z.infer<typeof notification>;

const commandId = z.string().min(1).max(64);
/** Afterwards nobody wants it any more: a device that gets it later leaves it alone. */
const expiresAt = timestamp.optional();

/** What an app that was uploaded without a name is called on a device. */
export const UNNAMED_APP = 'app';

/** `devices/{serial_no}/command`: install this firmware. Also the answer of `GET /updates/check`. */
export const otaUpdate = z.object({
  command: z.literal('ota_update'),
  command_id: commandId,
  campaign_id: z.uuid(),
  version: versionText,
  /** The app it is about; absent: firmware. What the signed metadata says of the target counts, not this. */
  app: appName.optional(),
  url: z.url(),
  checksum,
  size_bytes: z.int().min(0),
  /** The target's path in the update metadata: `{model}/{version}.bin`, of apps `{model}/{name}@{version}.bin`. */
  target: z.string(),
  metadata_url: z.url(),
  /** Absent: install it. `soft`: the device's user may postpone it. `download_only`: download, verify and keep it. */
  kind: z.enum(['soft', 'download_only']).optional(),
  /** With `soft`: from then on it is installed without asking. */
  install_by: timestamp.optional(),
  expires_at: expiresAt,
});
export type OtaUpdate = z.infer<typeof otaUpdate>;

/** `devices/{serial_no}/command`: change settings; the device confirms each with a notification. */
export const configUpdate = z.object({
  command: z.literal('config_update'),
  command_id: commandId,
  config: z.record(text(128).min(1), text(4096)),
  expires_at: expiresAt,
});
export type ConfigUpdate = z.infer<typeof configUpdate>;

/** `devices/{serial_no}/command`: restart. */
export const reboot = z.object({
  command: z.literal('reboot'),
  command_id: commandId,
  expires_at: expiresAt,
});

/** Everything that may arrive on `devices/{serial_no}/command`. */
export const command = z.discriminatedUnion('command', [otaUpdate, configUpdate, reboot]);
export type Command = z.infer<typeof command>;
