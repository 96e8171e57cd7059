/** People and API keys, as the API has them. */
import { z } from 'zod';

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
