/** What an operator says of a campaign: which devices, in which stages, how fast, and when to stop. */
import { z } from 'zod';
import { label, model, serialNo, text, time } from './identifiers.ts';
import { parseVersionRange } from './version.ts';

export const versionRange = z
  .string()
  .max(200)
  .refine((text) => parseVersionRange(text) !== undefined, {
    error: 'write a version range such as "< v1.1.0" or ">= v1.0.0 < v2.0.0"',
  });

/** Devices for which all of this holds. */
export const campaignTarget = z.object({
  model: model.optional(),
  fw_version: versionRange.optional(),
  groups: z.array(label).max(200).optional(),
  tags: z.array(label).max(200).optional(),
  serial_nos: z.array(serialNo).max(100_000).optional(),
  /** Of those, a random but stable sample of this many percent. */
  percentage: z.number().gt(0).max(100).optional(),
  /** Devices that come to match while the campaign runs join it, in its last stage. */
  dynamic: z.boolean().optional(),
});
export type CampaignTarget = z.infer<typeof campaignTarget>;

/**
 * One stage. `percentage` is cumulative: 10, 50, 100 means the first tenth, then up to half, then everyone.
 * `count` is a number of devices: alone it is how many this stage has, beside `percentage` at most how many.
 * `group`: the members of that group, before all others.
 */
export const stage = z
  .strictObject({
    /** Left out, it is `stage 1`, `stage 2` …, by its place. */
    name: text(64).default(''),
    percentage: z.number().gt(0).max(100).optional(),
    count: z.int().min(1).max(10_000_000).optional(),
    group: label.optional(),
    success_threshold: z.number().min(0).max(100).default(95),
    min_duration_s: z.int().min(0).max(2_592_000).default(0),
    /**
     * Whether the stage opens by itself when the one before has passed, or waits for an operator. The first one opens
     * when the campaign begins.
     */
    start: z.enum(['automatic', 'manual']).default('automatic'),
  })
  .refine((s) => s.percentage !== undefined || s.count !== undefined || s.group !== undefined, {
    error: 'a stage has a percentage, a count or a group',
  })
  .refine((s) => s.group === undefined || (s.percentage === undefined && s.count === undefined), {
    error: 'a stage that is a group has neither percentage nor count',
  });
export type Stage = z.infer<typeof stage>;

export const DEFAULT_STAGES: readonly Stage[] = [1, 10, 50, 100].map((percentage) => ({
  name: percentage === 1 ? 'canary' : `${percentage} %`,
  percentage,
  success_threshold: 95,
  min_duration_s: 0,
  start: 'automatic',
}));

/** The first stage of firmware no device has run yet: what fails on one device has failed on one device. */
export const ONE_DEVICE: Stage = {
  name: 'one device',
  count: 1,
  success_threshold: 100,
  min_duration_s: 0,
  start: 'automatic',
};

const stages = z
  .array(stage)
  .min(1)
  .max(50)
  .refine(
    (list) => {
      const shares = list.flatMap(({ percentage }) => percentage ?? []);
      return shares.every((share, i) => i === 0 || share > (shares[i - 1] ?? 0));
    },
    { error: 'percentages are cumulative: each stage must reach further than the one before' },
  )
  .refine(
    (list) => {
      const groups = list.flatMap(({ group }) => group ?? []);
      return new Set(groups).size === groups.length;
    },
    { error: 'a group is one stage: name each only once' },
  )
  .overwrite((list) => list.map((s, i) => (s.name === '' ? { ...s, name: `stage ${i + 1}` } : s)))
  .refine((list) => list.at(-1)?.percentage === 100 && list.at(-1)?.count === undefined, {
    error: 'the last stage must reach 100 %',
  });

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Day = (typeof DAYS)[number];

/** Each device's own time zone: what its `metadata.time_zone` says. */
export const DEVICE_ZONE = 'device';

const timeZone = z
  .string()
  .max(64)
  .refine((zone) => zone === DEVICE_ZONE || isTimeZone(zone), {
    error: 'a time zone is an IANA name such as "Europe/Berlin", or "device" for each device\'s own',
  });

const timeOfDay = z
  .string()
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, { error: 'a time of day is HH:MM, from 00:00 to 23:59' });

/** When updates may begin. A window whose `to` is not after its `from` ends on the next day. */
export const maintenanceWindow = z.strictObject({
  days: z.array(z.enum(DAYS)).min(1).max(7).optional(),
  from: timeOfDay,
  to: timeOfDay,
  time_zone: timeZone.default('UTC'),
  /** With `device`: the zone of a device that does not say its own. */
  fallback_time_zone: z.string().max(64).refine(isTimeZone, { error: 'an IANA name' }).default('UTC'),
});
export type MaintenanceWindow = z.infer<typeof maintenanceWindow>;

/** Begins slowly and grows with every so many successes, up to the campaign's rate. */
export const ramp = z.strictObject({
  base_rate_per_minute: z.int().min(1).max(1_000_000),
  increment_factor: z.number().gt(1).max(5).default(2),
  successes: z.int().min(1).max(1_000_000),
});
export type Ramp = z.infer<typeof ramp>;

/** How an update can fail, for the gate. */
export const FAILURE_CLASSES = ['failed', 'rollback', 'timeout', 'rejected'] as const;
export type FailureClass = (typeof FAILURE_CLASSES)[number];

const weight = z.number().min(0).max(10).default(1);

export const UPDATE_KINDS = ['forced', 'soft', 'download_only'] as const;

export const campaignPolicy = z.object({
  stages: stages.default([...DEFAULT_STAGES]),
  /** The campaign stops when more than this share of a stage's finished members failed, in percent. */
  failure_threshold: z.number().min(0).max(100).default(10),
  /** Before this many members of a stage have finished, its failures are compared with all of its members. */
  min_sample: z.int().min(1).max(100_000).default(20),
  /** How much a failure of each class counts. */
  failure_weights: z
    .strictObject({ failed: weight, rollback: weight, timeout: weight, rejected: weight })
    .prefault({}),
  /** Members that fall silent after their update, more than others do, count as failed. */
  silence_gate: z.boolean().default(true),
  on_failure: z.enum(['pause', 'rollback']).default('pause'),
  start_at: time.nullish(),
  /** Afterwards no further device starts: those that wait are skipped. */
  end_at: time.nullish(),
  max_concurrent: z.int().min(1).max(1_000_000).default(1000),
  rate_per_minute: z.int().min(1).max(1_000_000).default(10_000),
  ramp: ramp.nullish(),
  /** Updates begin only inside one of these; without any, at all times. */
  windows: z.array(maintenanceWindow).max(20).default([]),
  /** Updates at a time behind one gateway (a device's `metadata.gateway`), or one public address where it names none. */
  max_per_gateway: z.int().min(1).max(1_000_000).nullish(),
  update_timeout_s: z.int().min(10).max(2_592_000).default(3600),
  /** Attempts per device. A failed one is tried again only while there are attempts left. */
  max_attempts: z.int().min(1).max(20).default(1),
  /**
   * `soft`: the device's user may postpone it. `download_only`: it is downloaded, verified and kept, and a device that
   * has said so has completed.
   */
  kind: z.enum(UPDATE_KINDS).default('forced'),
  /** With `soft`: how long after its offer the device's user may postpone it; then it is installed all the same. */
  postpone_limit_s: z.int().min(60).max(7_776_000).default(604_800),
  /** Where two campaigns want the same device, the higher one has it first; of equal ones the newer. */
  priority: z.int().min(0).max(1000).default(100),
});
export type CampaignPolicy = z.infer<typeof campaignPolicy>;

/** Whether this is the name of a time zone (IANA). */
export function isTimeZone(name: string): boolean {
  // An offset such as +02:00 would be taken, too, and knows no summer.
  if (/^[+-]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
