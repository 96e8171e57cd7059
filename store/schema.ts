/** The ledger: every table of the Postgres database. Migrations are generated from this file. */
import { getTableColumns, sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgEnum,
  pgTable,
  pgView,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uuid,
} from 'drizzle-orm/pg-core';
import type { CampaignMetrics, CampaignPolicy, CampaignTarget, GroupRule } from '../protocol/api.ts';
import {
  CAMPAIGN_STATUSES,
  CONFIG_CHANGES,
  DEVICE_STATUSES,
  FIRMWARE_KINDS,
  FIRMWARE_STATES,
  ROLES,
  UPDATE_STATES,
} from '../protocol/api.ts';
import type { EarlierTry } from '../protocol/update-timeline.ts';

/** Text ordered by bytes: prefix searches and keyset pages use one plain index, in every locale. */
const bytewiseText = customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' });
const moment = (name: string) => timestamp(name, { withTimezone: true });

export const deviceStatusEnum = pgEnum('device_status', DEVICE_STATUSES);
export const configChangeEnum = pgEnum('config_change', CONFIG_CHANGES);
export const firmwareKindEnum = pgEnum('firmware_kind', FIRMWARE_KINDS);
export const firmwareStateEnum = pgEnum('firmware_state', FIRMWARE_STATES);
export const campaignStatusEnum = pgEnum('campaign_status', CAMPAIGN_STATUSES);
export const updateStateEnum = pgEnum('update_state', UPDATE_STATES);
export const roleEnum = pgEnum('role', ROLES);

/** One row a device; volatile columns (last_seen, state, …) stay unindexed so that their updates are HOT. */
export const devices = pgTable(
  'devices',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    serialNo: bytewiseText('serial_no').notNull().unique(),
    model: text('model').notNull(),
    currentFirmware: text('current_firmware'),
    targetVersion: text('target_version'),
    status: deviceStatusEnum('status').notNull().default('offline'),
    /** Coarse: exact to the second only in the fleet shard. */
    lastSeen: moment('last_seen'),
    group: text('group_name'),
    tags: text('tags').array().notNull().default(sql`'{}'`),
    metadata: jsonb('metadata').$type<Record<string, unknown>>().notNull().default({}),
    powerState: text('power_state'),
    battery: doublePrecision('battery'),
    temperature: doublePrecision('temperature'),
    apps: jsonb('apps').$type<Record<string, string>>(),
    /** False while it waits for an operator's word: it registered itself and the setting says "approve first". */
    approved: boolean('approved').notNull().default(true),
    revokedAt: moment('revoked_at'),
    /** Out of service for good; kept for its history. */
    decommissionedAt: moment('decommissioned_at'),
    createdAt: moment('created_at').notNull().defaultNow(),
    updatedAt: moment('updated_at').notNull().defaultNow(),
  },
  (t) => [
    index('devices_model_serial_no').on(t.model, t.serialNo),
    index('devices_group_serial_no').on(t.group, t.serialNo),
    index('devices_tags').using('gin', t.tags),
  ],
);

/** Named sets of devices: with a rule, those that fit it; without, those whose `group` says so. */
export const deviceGroups = pgTable('device_groups', {
  name: bytewiseText('name').primaryKey(),
  description: text('description').notNull().default(''),
  rule: jsonb('rule').$type<GroupRule>(),
  createdAt: moment('created_at').notNull().defaultNow(),
  updatedAt: moment('updated_at').notNull().defaultNow(),
});

/**
 * What happened to a device. The id is a digest of the message: a repeated one adds nothing. Partitioned by month of
 * `at` (UTC), which generated migrations cannot say: see `migrations/0004_history_and_archive.sql` and `history.ts`.
 */
export const deviceEvents = pgTable(
  'device_events',
  {
    id: text('id').notNull(),
    deviceId: uuid('device_id').notNull(),
    at: moment('at').notNull(),
    kind: text('kind').notNull(),
    detail: jsonb('detail').$type<Record<string, unknown>>().notNull().default({}),
  },
  (t) => [
    primaryKey({ columns: [t.id, t.at] }),
    index('device_events_device_at').on(t.deviceId, t.at, t.id),
    index('device_events_at').using('brin', t.at),
  ],
);

export const deviceConfigs = pgTable(
  'device_configs',
  {
    deviceId: uuid('device_id')
      .notNull()
      .references(() => devices.id, { onDelete: 'cascade' }),
    key: text('config_key').notNull(),
    value: text('config_value'),
    /** The device's own clock when it said so: an older notification changes nothing. */
    valueAt: moment('value_at'),
    pendingValue: text('pending_value'),
    pendingUntil: moment('pending_until'),
    updatedAt: moment('updated_at').notNull().defaultNow(),
  },
  (t) => [primaryKey({ columns: [t.deviceId, t.key] })],
);

/** Every value a setting was asked to have or had. The id is a digest of the message, so a repeated one is one. */
export const deviceConfigHistory = pgTable(
  'device_config_history',
  {
    id: text('id').primaryKey(),
    deviceId: uuid('device_id')
      .notNull()
      .references(() => devices.id, { onDelete: 'cascade' }),
    key: text('config_key').notNull(),
    kind: configChangeEnum('kind').notNull(),
    value: text('config_value').notNull(),
    oldValue: text('old_value'),
    /** Who asked for it; null where the device said so. */
    actor: text('actor'),
    at: moment('at').notNull(),
  },
  (t) => [index('device_config_history_device').on(t.deviceId, t.at, t.id)],
);

/** Certificates issued to devices, by serial number (lower-case hex). They outlive their device: see the revocation list. */
export const certificates = pgTable(
  'certificates',
  {
    serialHex: text('serial_hex').primaryKey(),
    deviceId: uuid('device_id').references(() => devices.id, { onDelete: 'set null' }),
    /** SHA-256 of the subject public key info, hex: the same key may not serve two devices. */
    keyDigest: text('key_digest').notNull(),
    pem: text('pem').notNull(),
    notAfter: moment('not_after').notNull(),
    issuedAt: moment('issued_at').notNull().defaultNow(),
    revokedAt: moment('revoked_at'),
  },
  (t) => [index('certificates_device').on(t.deviceId), index('certificates_key').on(t.keyDigest)],
);

/** One-time tokens for EST simpleenroll; only their SHA-256 is kept. */
export const enrolmentTokens = pgTable('enrolment_tokens', {
  tokenHash: text('token_hash').primaryKey(),
  deviceId: uuid('device_id')
    .notNull()
    .references(() => devices.id, { onDelete: 'cascade' }),
  createdBy: text('created_by').notNull(),
  createdAt: moment('created_at').notNull().defaultNow(),
  expiresAt: moment('expires_at').notNull(),
  usedAt: moment('used_at'),
});

export const firmware = pgTable(
  'firmware',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    kind: firmwareKindEnum('kind').notNull().default('firmware'),
    /** Which of a device's apps it is; null for firmware. */
    name: text('name'),
    version: text('version').notNull(),
    model: text('model').notNull(),
    /** SHA-256 of the bytes, hex. The object's key in R2 follows from it. */
    sha256: text('sha256').notNull(),
    sizeBytes: bigint('size_bytes', { mode: 'number' }).notNull(),
    state: firmwareStateEnum('state').notNull().default('uploaded'),
    releaseNotes: text('release_notes').notNull().default(''),
    minVersion: text('min_version'),
    /** SHA-256 of documents stored beside it, hex. */
    sbomSha256: text('sbom_sha256'),
    advisorySha256: text('advisory_sha256'),
    uploadedBy: text('uploaded_by').notNull(),
    uploadedAt: moment('uploaded_at').notNull().defaultNow(),
    publishedAt: moment('published_at'),
    withdrawnAt: moment('withdrawn_at'),
    withdrawnReason: text('withdrawn_reason'),
    /** When the stored bytes were last read and compared with their hash. */
    checkedAt: moment('checked_at'),
    /** What was wrong with the stored bytes then. */
    damage: text('damage'),
    /** The same of the documents beside it. */
    documentDamage: text('document_damage'),
  },
  (t) => [
    unique('firmware_model_name_version').on(t.model, t.kind, t.name, t.version).nullsNotDistinct(),
    index('firmware_sha256').on(t.sha256),
    index('firmware_uploaded_at').on(t.uploadedAt, t.id),
  ],
);

/** Resumable uploads under way. */
export const firmwareUploads = pgTable('firmware_uploads', {
  id: uuid('id').primaryKey().defaultRandom(),
  version: text('version').notNull(),
  model: text('model').notNull(),
  kind: firmwareKindEnum('kind').notNull(),
  name: text('name'),
  releaseNotes: text('release_notes').notNull(),
  minVersion: text('min_version'),
  sha256: text('sha256').notNull(),
  sizeBytes: bigint('size_bytes', { mode: 'number' }).notNull(),
  /** Where its parts lie: a prefix. A single part goes to its place at once. */
  objectKey: text('object_key').notNull(),
  createdBy: text('created_by').notNull(),
  createdAt: moment('created_at').notNull().defaultNow(),
  /** When its last part came. */
  updatedAt: moment('updated_at').notNull().defaultNow(),
});

export const firmwareUploadParts = pgTable(
  'firmware_upload_parts',
  {
    uploadId: uuid('upload_id')
      .notNull()
      .references(() => firmwareUploads.id, { onDelete: 'cascade' }),
    partNo: integer('part_no').notNull(),
    etag: text('etag').notNull(),
  },
  (t) => [primaryKey({ columns: [t.uploadId, t.partNo] })],
);

const campaignColumns = () => ({
  id: uuid('id').primaryKey().defaultRandom(),
  name: text('name').notNull(),
  firmwareId: uuid('firmware_id')
    .notNull()
    .references(() => firmware.id),
  target: jsonb('target_criteria').$type<CampaignTarget>().notNull(),
  policy: jsonb('policy').$type<CampaignPolicy>().notNull(),
  status: campaignStatusEnum('status').notNull().default('draft'),
  statusReason: text('status_reason'),
  /** As the campaign object last said; for lists and for campaigns that are over. */
  metrics: jsonb('metrics').$type<CampaignMetrics>(),
  createdBy: text('created_by').notNull(),
  /** Somebody else who has said that it may start. */
  approvedBy: text('approved_by'),
  createdAt: moment('created_at').notNull().defaultNow(),
  updatedAt: moment('updated_at').notNull().defaultNow(),
  startedAt: moment('started_at'),
  finishedAt: moment('finished_at'),
});

export const campaigns = pgTable('campaigns', campaignColumns(), (t) => [
  index('campaigns_created_at').on(t.createdAt, t.id),
  index('campaigns_firmware').on(t.firmwareId),
]);

const updateColumns = () => ({
  deviceId: uuid('device_id').notNull(),
  serialNo: bytewiseText('serial_no').notNull(),
  stage: smallint('stage').notNull(),
  status: updateStateEnum('status').notNull(),
  attempt: smallint('attempt').notNull().default(0),
  fromVersion: text('from_version'),
  toVersion: text('to_version').notNull(),
  /** The device's group when it joined the campaign. */
  group: text('group_name'),
  error: text('error'),
  detail: text('error_message'),
  /** When the present attempt came to each state; null where it did not, or not yet. */
  offeredAt: moment('offered_at'),
  downloadingAt: moment('downloading_at'),
  installingAt: moment('installing_at'),
  rebootingAt: moment('rebooting_at'),
  /** Tries that are over, oldest first. */
  earlier: jsonb('earlier_tries').$type<EarlierTry[]>(),
  startedAt: moment('started_at'),
  completedAt: moment('completed_at'),
  updatedAt: moment('updated_at').notNull(),
  /** Counts the row's changes in the campaign object: an older write never overtakes a newer one. */
  revision: bigint('revision', { mode: 'number' }).notNull().default(0),
});

/** One device's part in a campaign: the ledger's copy of the campaign object's row, written in bulk on change. */
export const campaignDevices = pgTable(
  'campaign_devices',
  {
    campaignId: uuid('campaign_id')
      .notNull()
      .references(() => campaigns.id, { onDelete: 'cascade' }),
    ...updateColumns(),
  },
  (t) => [
    primaryKey({ columns: [t.campaignId, t.serialNo] }),
    // Nothing that changes with every step of an update is indexed: those updates touch no index (HOT).
    index('campaign_devices_device').on(t.deviceId),
  ],
);

/** Campaigns that ended long ago, moved here whole: see `archive.ts`. */
export const archivedCampaigns = pgTable('archived_campaigns', campaignColumns(), (t) => [
  index('archived_campaigns_created_at').on(t.createdAt, t.id),
  index('archived_campaigns_firmware').on(t.firmwareId),
]);

/** Their devices' parts. Without a foreign key: they move before their campaign does. */
export const archivedCampaignDevices = pgTable(
  'archived_campaign_devices',
  { campaignId: uuid('campaign_id').notNull(), ...updateColumns() },
  (t) => [
    primaryKey({ columns: [t.campaignId, t.serialNo] }),
    index('archived_campaign_devices_device').on(t.deviceId, t.updatedAt),
  ],
);

/** Every campaign, in the archive or not. For reading: in each moment a campaign is in exactly one of the two. */
export const allCampaigns = pgView('all_campaigns').as((qb) =>
  qb
    .select({ ...getTableColumns(campaigns), archived: sql<boolean>`false`.as('archived') })
    .from(campaigns)
    .unionAll(
      qb
        .select({ ...getTableColumns(archivedCampaigns), archived: sql<boolean>`true`.as('archived') })
        .from(archivedCampaigns),
    ),
);

/** Every device's part in every campaign, in the archive or not. For reading. */
export const allCampaignDevices = pgView('all_campaign_devices').as((qb) =>
  qb
    .select({ ...getTableColumns(campaignDevices), archived: sql<boolean>`false`.as('archived') })
    .from(campaignDevices)
    .unionAll(
      qb
        .select({ ...getTableColumns(archivedCampaignDevices), archived: sql<boolean>`true`.as('archived') })
        .from(archivedCampaignDevices),
    ),
);

export const users = pgTable('users', {
  id: uuid('id').primaryKey().defaultRandom(),
  email: text('email').notNull().unique(),
  passwordHash: text('password_hash').notNull(),
  role: roleEnum('role').notNull(),
  createdAt: moment('created_at').notNull().defaultNow(),
});

/** Signed-in browsers. Only the SHA-256 of the cookie's value is kept. */
export const sessions = pgTable('sessions', {
  tokenHash: text('token_hash').primaryKey(),
  userId: uuid('user_id')
    .notNull()
    .references(() => users.id, { onDelete: 'cascade' }),
  createdAt: moment('created_at').notNull().defaultNow(),
  lastUsedAt: moment('last_used_at').notNull().defaultNow(),
  expiresAt: moment('expires_at').notNull(),
});

/** API keys, `sky_<id>_<secret>`. The secret is 256 random bits, so a plain SHA-256 of it is enough. */
export const apiKeys = pgTable('api_keys', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  role: roleEnum('role').notNull(),
  secretHash: text('secret_hash').notNull(),
  createdAt: moment('created_at').notNull().defaultNow(),
  revokedAt: moment('revoked_at'),
});

/** Who did what. Rows are only ever added. */
export const auditLog = pgTable(
  'audit_log',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    at: moment('at').notNull().defaultNow(),
    actor: text('actor').notNull(),
    action: text('action').notNull(),
    subject: text('subject').notNull(),
    allowed: boolean('allowed').notNull().default(true),
    detail: jsonb('detail').$type<Record<string, unknown>>().notNull().default({}),
  },
  (t) => [index('audit_log_at').on(t.at, t.id)],
);

/** The answers to writes that carried an `Idempotency-Key`, kept for a day. */
export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    actor: text('actor').notNull(),
    key: text('key').notNull(),
    requestDigest: text('request_digest').notNull(),
    /** Null while the first request is still being answered. */
    status: smallint('status'),
    body: text('body'),
    etag: text('etag'),
    createdAt: moment('created_at').notNull().defaultNow(),
  },
  (t) => [primaryKey({ columns: [t.actor, t.key] })],
);

/** Messages that could not be understood, for an operator to look at. */
export const rejectedMessages = pgTable(
  'rejected_messages',
  {
    id: text('id').primaryKey(),
    at: moment('at').notNull(),
    topic: text('topic').notNull(),
    reason: text('reason').notNull(),
    /** The first bytes of the payload, as text. */
    excerpt: text('excerpt').notNull(),
  },
  (t) => [index('rejected_messages_at').on(t.at)],
);
