/** The names of things as they travel: serial numbers, models, IDs. */
import { z } from 'zod';

/** A device's serial number is its certificate's CN and a topic level, so it may hold no `/`, `+`, `#` or `%`. */
export const serialNo = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'a serial number is 1 to 64 characters of A-Z a-z 0-9 _ -');

/** A hardware model. It is a path segment of update targets (`TX-100/v1.1.0.bin`), so it may hold no `/`. */
export const model = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'a model is 1 to 64 characters of A-Z a-z 0-9 . _ -');

/** A firmware version as a device reports it: also a path segment. The order is in `version.ts`. */
export const versionText = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/, 'a version is 1 to 64 characters of A-Z a-z 0-9 . _ + -');

/** An app's name, as the heartbeat's `apps` has it. No `@`: it stands before one in the update target. */
export const appName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "an app's name is 1 to 64 characters of A-Z a-z 0-9 . _ -");

/** `sha256:` and 64 hex digits. */
export const checksum = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, 'a checksum is "sha256:" followed by 64 lower-case hex digits');

/** A group's or a tag's name, as people write it. */
export const label = z
  .string()
  .trim()
  .min(1)
  .max(64)
  // Not `regex`: a pattern in the OpenAPI document has no flags.
  .refine((said) => !/\p{Cc}/u.test(said), 'no control characters');

/** Whether a database keeps this text as it is: JSON may also spell NUL and halves of surrogate pairs. */
export const isStorable = (text: string): boolean => text.isWellFormed() && !text.includes('\0');

/** What is said of text that is not. */
export const UNSTORABLE = 'no NUL, no half of a surrogate pair';

/** Text a database can keep, or look for. */
export const text = (max: number) => z.string().max(max).refine(isStorable, UNSTORABLE);

/** A moment, as JSON has it: ISO 8601 with the offset from UTC. */
export const time = z.iso.datetime({ offset: true });
