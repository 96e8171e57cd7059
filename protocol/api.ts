/** The JSON of the HTTP API (`/api/v1`): what the outside reads and writes. */
import { z } from 'zod';
import { campaignPolicy, campaignTarget, versionRange } from './campaign-policy.ts';
import {
  appName,
  checksum,
  isStorable,
  label,
  model,
  serialNo,
  text,
  UNSTORABLE,
  versionText,
} from './identifiers.ts';
import { parseVersion } from './version.ts';

export * from './campaign-policy.ts';

export const ROLES = ['viewer', 'operator', 'admin', 'ci'] as const;
export const role = z.enum(ROLES);
export type Role = z.infer<typeof role>;

/** Somebody who may sign in. */
export const user = z.object({ id: z.uuid(), email: z.string(), role, created_at: z.iso.datetime() });
export type User = z.infer<typeof user>;

const password = z.string().min(12, 'a password has at least 12 characters').max(1024);
export const createUser = z.strictObject({
  email: z.email('this is no email address').max(320),
  role,
  /** Left out, one is made up and answered, once. */
  password: password.optional(),
});
export const changeUser = z.strictObject({ role: role.optional(), password: password.optional() });

/** What a program comes in with. The key itself is shown once, when it is made. */
export const apiKey = z.object({
  id: z.string(),
  name: z.string(),
  role,
  created_at: z.iso.datetime(),
  revoked_at: z.iso.datetime().nullable(),
});
export type ApiKey = z.infer<typeof apiKey>;

export const createApiKey = z.strictObject({
  name: z.string().regex(/^[\w.@ -]{1,64}$/, 'a name has 1 to 64 letters, digits, spaces and any of . _ @ -'),
  role,
});

const time = z.iso.datetime({ offset: true });

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
const metadata = z
  .record(z.string().max(128), z.unknown())
  .refine((said) => JSON.stringify(said).length <= MAX_METADATA, `at most ${MAX_METADATA} characters as JSON`)
  .refine(isStorableJson, UNSTORABLE);
/** Tags of one device, at most. */
export const MAX_TAGS = 50;
const tags = z
  .array(label)
  .max(MAX_TAGS)
  .overwrite((said) => [...new Set(said)]);

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

export const FIRMWARE_KINDS = ['firmware', 'app'] as const;
export const firmwareKind = z.enum(FIRMWARE_KINDS);
export const FIRMWARE_STATES = ['uploaded', 'published', 'withdrawn'] as const;
export const firmwareState = z.enum(FIRMWARE_STATES);

export const FIRMWARE_DOCUMENTS = ['sbom', 'advisory'] as const;
export const firmwareDocument = z.enum(FIRMWARE_DOCUMENTS);
export type FirmwareDocument = z.infer<typeof firmwareDocument>;

export const firmware = z.object({
  id: z.uuid(),
  kind: firmwareKind,
  /** Which of a device's apps it is; null for firmware. */
  name: appName.nullable(),
  version: versionText,
  model,
  checksum,
  size_bytes: z.int(),
  state: firmwareState,
  release_notes: z.string(),
  min_version: z.string().nullable(),
  /** Checksums of the documents beside it: `GET /firmware/{id}/sbom`, `GET /firmware/{id}/advisory`. */
  sbom: checksum.nullable(),
  advisory: checksum.nullable(),
  uploaded_at: time,
  published_at: time.nullable(),
  withdrawn_at: time.nullable(),
  withdrawn_reason: z.string().nullable(),
  /** What is wrong with the stored bytes, as last seen when they were read and compared; null where nothing is. */
  damage: z.string().nullable(),
});
export type Firmware = z.infer<typeof firmware>;

/** What is said of a firmware when it is uploaded, beside its bytes. */
export const firmwareDescription = z
  .object({
    version: versionText,
    model,
    kind: firmwareKind.default('firmware'),
    /** Of an app. An app without a name counts as installed when any app of a device shows its version. */
    name: appName.nullish(),
    release_notes: text(20_000).default(''),
    /** The firmware a device must have at least, also where this is an app. */
    min_version: versionText
      .refine(
        (text) => parseVersion(text) !== undefined,
        'it is no version that has an order, such as v1.0.2',
      )
      .nullish(),
    checksum: checksum.optional(),
  })
  .refine(({ kind, name }) => kind === 'app' || name == null, {
    path: ['name'],
    error: 'only an app has a name: firmware is named by its model and version',
  });
export type FirmwareDescription = z.infer<typeof firmwareDescription>;

/** `POST /firmware/uploads`: announces a resumable upload; its size and checksum are promised first. */
export const beginUpload = firmwareDescription.safeExtend({ checksum, size_bytes: z.int().min(1) });
export type BeginUpload = z.infer<typeof beginUpload>;

/** The answer: upload parts 1 to `part_count`, each `part_size` bytes but the last; `parts` lists those here already. */
export const uploadState = z.object({
  id: z.uuid(),
  part_size: z.int(),
  part_count: z.int(),
  parts: z.array(z.int()),
  /** Set when these very bytes are here already under this model and version: nothing is left to upload. */
  firmware: firmware.nullable(),
});
export type UploadState = z.infer<typeof uploadState>;

/** `POST /firmware/{id}/withdraw` */
export const withdrawal = z.object({ reason: text(500).trim().min(1) });

/** A hardware model as the catalogue has it. */
export const catalogueModel = z.object({
  model,
  firmware_count: z.int(),
  /** The highest published version of its firmware; null where none is. */
  latest: z.string().nullable(),
});
export type CatalogueModel = z.infer<typeof catalogueModel>;

/** Where a firmware is installed. */
export const installations = z.object({
  /** How many devices show it; not counted beyond 10,000. */
  count: z.int(),
  more: z.boolean(),
  /** The first of them, by serial number. */
  sample: z.array(z.object({ serial_no: serialNo, status: deviceStatus })),
});
export type Installations = z.infer<typeof installations>;

export const signatures = z.object({
  signatures: z
    .array(z.object({ keyid: z.string().regex(/^[0-9a-f]{64}$/), sig: z.string().regex(/^[0-9a-f]{128}$/) }))
    .min(1)
    .max(10),
});
export type Signatures = z.infer<typeof signatures>;

/** A group by rule: devices for which all of this holds. */
export const groupRule = z
  .object({
    model: model.optional(),
    fw_version: versionRange.optional(),
    /** At least one of them. */
    tags: z.array(label).min(1).max(50).optional(),
    serial_prefix: text(64).min(1).optional(),
    /** Each of these keys has this value. */
    metadata: z.record(text(128), z.union([text(1000), z.number(), z.boolean()])).optional(),
  })
  .strict()
  .refine((rule) => Object.values(rule).some((part) => part !== undefined), {
    error: 'a rule says at least one thing: model, fw_version, tags, serial_prefix or metadata',
  });
export type GroupRule = z.infer<typeof groupRule>;

/** A group: `static` has the devices whose `group` says so, `rule` those for which its rule holds. */
export const group = z.object({
  name: label,
  kind: z.enum(['static', 'rule']),
  description: z.string(),
  rule: groupRule.nullable(),
});
export type Group = z.infer<typeof group>;

const description = text(1000).default('');
export const createGroup = z.object({ name: label, description, rule: groupRule.nullish() });
export const changeGroup = z.object({
  description: text(1000).optional(),
  rule: groupRule.optional(),
});

const serialNos = z.array(serialNo).min(1).max(10_000);
/** Devices to put into a static group, or to take out of it. */
export const groupMembers = z.object({ serial_nos: serialNos });
/** Tags to add to devices and to take off them. */
export const tagDevices = z.object({
  serial_nos: serialNos,
  add: z.array(label).max(50).default([]),
  remove: z.array(label).max(50).default([]),
});

/** What a bulk import did, or with `dry_run` would do; of very many errors the first 1,000 are listed. */
export const importReport = z.object({
  created: z.int(),
  updated: z.int(),
  unchanged: z.int(),
  failed: z.int(),
  /** Lines of the file, the header being line 1. */
  errors: z.array(z.object({ line: z.int(), field: z.string(), message: z.string() })),
});
export type ImportReport = z.infer<typeof importReport>;

export const createCampaign = campaignPolicy.extend({
  name: text(120).trim().min(1),
  firmware_id: z.uuid(),
  /** A word misspelt here would take the firmware to devices nobody meant. */
  target: campaignTarget.strict().default({}),
  /**
   * Begins with a stage of one device, before the others. Where neither this nor `stages` is said, it does when no
   * device runs the firmware yet.
   */
  safe_mode: z.boolean().optional(),
});
export type CreateCampaign = z.infer<typeof createCampaign>;

/** What a campaign would do, were it started now. */
export const campaignPreview = z.object({
  /** Devices that would take part. */
  count: z.int(),
  /** A few of those that would be taken first, by serial number. */
  sample: z.array(
    z.object({ id: z.string(), serial_no: z.string(), current_firmware: z.string().nullable() }),
  ),
  /** Devices of the target that would not take part, by reason. */
  skipped: z.array(z.object({ error: z.string(), count: z.int() })),
  /** How many of the target's serial numbers name no device that fits it; null where it names none. */
  unknown_serial_nos: z.int().nullable(),
  /** How many of those that would take part run something newer, and would go back. */
  would_go_back: z.int(),
  /** No device runs the firmware yet: unless told otherwise, the campaign begins with one. */
  new_to_fleet: z.boolean(),
  /** How many devices each stage would have. */
  stages: z.array(z.object({ name: z.string(), devices: z.int() })),
});
export type CampaignPreview = z.infer<typeof campaignPreview>;

export const CAMPAIGN_STATUSES = [
  'draft',
  'scheduled',
  'active',
  'paused',
  'completed',
  'cancelled',
  'rolled_back',
] as const;
export const campaignStatus = z.enum(CAMPAIGN_STATUSES);
export type CampaignStatus = z.infer<typeof campaignStatus>;

/** Where one device's update stands. The last four are final. */
export const UPDATE_STATES = [
  'pending',
  'offered',
  'downloading',
  'installing',
  'rebooting',
  'completed',
  'failed',
  'rollback',
  'skipped',
] as const;
export const updateState = z.enum(UPDATE_STATES);
export type UpdateState = z.infer<typeof updateState>;

export const campaign = campaignPolicy.extend({
  id: z.uuid(),
  name: z.string(),
  firmware_id: z.uuid(),
  firmware_version: z.string(),
  /** What people call it: `TX-100/v1.1.0`, of an app `TX-100/maps@v1.1.0`. */
  firmware: z.string(),
  target: campaignTarget,
  status: campaignStatus,
  /** Why it stands where it stands, in a sentence; null where there is nothing to say. */
  status_reason: z.string().nullable(),
  created_by: z.string(),
  approved_by: z.string().nullable(),
  created_at: time,
  updated_at: time,
  started_at: time.nullable(),
  finished_at: time.nullable(),
  /** Whether it has moved to the archive: it can be read, and nothing else. */
  archived: z.boolean(),
});
export type Campaign = z.infer<typeof campaign>;

export const stageState = z.enum(['waiting', 'running', 'passed', 'stopped']);
export const campaignMetrics = z.object({
  target: z.int(),
  counts: z.record(updateState, z.int()),
  /** Completed ÷ finished (completed, failed, rolled back), in percent; null before the first one finished. */
  success_rate: z.number().nullable(),
  stage: z.object({ index: z.int(), name: z.string(), state: stageState }),
  stages: z.array(
    z.object({
      name: z.string(),
      percentage: z.number().nullable(),
      count: z.int().optional(),
      group: z.string().optional(),
      state: stageState,
      target: z.int(),
      counts: z.record(updateState, z.int()),
    }),
  ),
  started_at: time.nullable(),
  errors: z.array(z.object({ error: z.string(), count: z.int() })),
});
export type CampaignMetrics = z.infer<typeof campaignMetrics>;

/** One device's part in a campaign. */
export const deviceUpdate = z.object({
  campaign_id: z.uuid(),
  campaign_name: z.string().optional(),
  device_id: z.uuid().nullable(),
  serial_no: serialNo,
  status: updateState,
  stage: z.int(),
  attempt: z.int(),
  from_version: z.string().nullable(),
  to_version: z.string(),
  progress: z.number().nullable(),
  error: z.string().nullable(),
  detail: z.string().nullable(),
  started_at: time.nullable(),
  finished_at: time.nullable(),
  updated_at: time,
  archived: z.boolean(),
});
export type DeviceUpdate = z.infer<typeof deviceUpdate>;

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

/** RFC 9457 problem details, with one entry of `errors` per field that was wrong. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  instance?: string;
  errors?: { field: string; message: string }[];
}

/** A page of a list; pass `next_cursor` as `cursor` to read on. */
export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

export const paging = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: text(500).optional(),
});
export type Paging = z.infer<typeof paging>;
