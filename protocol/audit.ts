/** The audit log, as its readers see it. */
import { z } from 'zod';
import { text } from './identifiers.ts';

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

/** Which entries are asked for; the filters combine. */
export const auditFilter = z.object({
  actor: text(300).optional(),
  action: text(300).optional(),
  subject: text(300).optional(),
  allowed: z.stringbool({ truthy: ['true', '1'], falsy: ['false', '0'] }).optional(),
});
export type AuditFilter = z.infer<typeof auditFilter>;
