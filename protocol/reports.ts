/** The JSON of reports: how one device's update went, and how a whole campaign did. */
import { z } from 'zod';
import { deviceUpdate, UPDATE_STATES, updateState } from './api.ts';

const ms = z.int();

/** Why a try ended before its update did. */
export const TRY_ENDS = ['failed', 'rollback', 'rejected', 'arrived', 'skipped'] as const;

/** A try that is over, as campaigns keep it beside an update that went on. Times are Unix milliseconds. */
export const earlierTry = z.object({
  attempt: z.int(),
  offered_at: ms.nullable(),
  downloading_at: ms.nullable(),
  installing_at: ms.nullable(),
  rebooting_at: ms.nullable(),
  ended_at: ms,
  outcome: z.string(),
  error: z.string().nullable(),
  detail: z.string().nullable(),
});
export type EarlierTry = z.infer<typeof earlierTry>;
