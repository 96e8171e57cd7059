/** The audit log, as its readers see it. */
import { z } from 'zod';
import { isStorable } from './identifiers.ts';

/** One thing that somebody did, or was not allowed to do. */
export const auditRecord = z.object({
  id: z.uuid(),
  at: z.iso.datetime(),
  /** `user:…` or `key:…`. */
  actor: z.string(),
  /** As `thing.verb`; of what was not allowed, the method and path of the request. */
  action: z.string(),
  /** To what; of what was not allowed, the permission that was missing. */
  subject: z.string(),
  allowed: z.boolean(),
  detail: z.record(z.string(), z.unknown()),
});
export type AuditRecord = z.infer<typeof auditRecord>;

const text = z.string().max(300).refine(isStorable, 'no NUL, no half of a surrogate pair').optional();

/** Which entries are asked for; the filters combine. */
export const auditFilter = z.object({
  actor: text,
  action: text,
  subject: text,
  allowed: z.stringbool({ truthy: ['true', '1'], falsy: ['false', '0'] }).optional(),
});
export type AuditFilter = z.infer<typeof auditFilter>;
