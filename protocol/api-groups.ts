/** Groups of devices, and what is done to many devices at once, as the API has it. */
import { z } from 'zod';
import { versionRange } from './campaign-policy.ts';
import { label, model, serialNo, text } from './identifiers.ts';

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
