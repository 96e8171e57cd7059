/** The fleet's settings as the API has them: versioned, with who changed what and when. */
import { z } from 'zod';
import { campaignPolicy } from './api.ts';

const { shape } = campaignPolicy;
/** Without the defaults of their own: what is not said here stays unsaid. */
const campaignDefaults = z
  .object({
    stages: shape.stages.unwrap(),
    failure_threshold: shape.failure_threshold.unwrap(),
    on_failure: shape.on_failure.unwrap(),
    max_concurrent: shape.max_concurrent.unwrap(),
    rate_per_minute: shape.rate_per_minute.unwrap(),
    update_timeout_s: shape.update_timeout_s.unwrap(),
    max_attempts: shape.max_attempts.unwrap(),
  })
  .partial();

/** Settings an administrator may change. Each has a default, so that a fleet that set nothing works. */
export const settings = z.object({
  /** A device not heard from for this long is offline. */
  offline_after_s: z.int().min(5).max(86_400).default(300),
  /** A device nobody has registered waits for approval when it registers itself, and takes part in nothing. */
  approve_first: z.boolean().default(false),
  /** A campaign starts only when somebody other than its maker has approved it. */
  approve_campaigns: z.boolean().default(false),
  /** How long a command waits for its device before nobody wants it any more. */
  command_expiry_s: z.int().min(10).max(2_592_000).default(86_400),
  /** How long a download link lasts. */
  download_link_s: z.int().min(60).max(86_400).default(3600),
  /** Campaigns that ended longer ago than this move to the archive, with their updates. */
  archive_after_days: z.int().min(1).max(3650).default(90),
  /** How many months devices' history is kept beside the present one; 0 keeps it for good. */
  keep_history_months: z.int().min(0).max(1200).default(0),
  max_firmware_bytes: z.int().min(1).default(2_147_483_648),
  /** What a campaign has where its maker says nothing. */
  campaign_defaults: campaignDefaults.default({}),
  /** Switches for what is being tried out, by name. */
  feature_flags: z.record(z.string().regex(/^[a-z0-9_.-]{1,64}$/), z.boolean()).default({}),
});
export type Settings = z.infer<typeof settings>;

/** Some settings, to be changed: what is misspelt is refused, or it would undo what it was meant to change. */
export const someSettings = settings
  .partial()
  .extend({ campaign_defaults: campaignDefaults.strict().optional() })
  .strict();

/** The settings and their version, which counts their changes. */
export const versionedSettings = z.object({ version: z.int(), settings });
export type VersionedSettings = z.infer<typeof versionedSettings>;

/** One change of the settings. */
export const settingsChange = z.object({
  version: z.int(),
  at: z.iso.datetime(),
  actor: z.string(),
  /** The settings that were changed, with their new values: a JSON object. */
  change: z.string(),
});
export type SettingsChange = z.infer<typeof settingsChange>;
