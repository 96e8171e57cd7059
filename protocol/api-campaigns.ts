/** Campaigns and devices' updates, as the API has them. */
import { z } from 'zod';
import { campaignPolicy, campaignTarget } from './campaign-policy.ts';
import { serialNo, text, time } from './identifiers.ts';

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
