/** The JSON of a rehearsal: what a campaign would do, were it started now. */
import { z } from 'zod';

/** Most devices that are played; of a larger target, a sample. */
export const REHEARSED_DEVICES = 500;
/** How often a campaign is played, each time with other devices failing. */
export const REHEARSALS = 5;

export const rehearsalRequest = z.strictObject({
  /** The share of updates that fail, in percent; else what the ledger has of this model. */
  failure_rate: z.number().min(0).max(100).optional(),
});
export type RehearsalRequest = z.infer<typeof rehearsalRequest>;

export const REHEARSAL_ENDS = ['completed', 'paused', 'rolled_back', 'unfinished'] as const;

export const rehearsal = z.object({
  /** Devices that would take part, and how many of them were played. */
  devices: z.int(),
  played: z.int(),
  /** What it was played with. */
  history: z.object({
    /** Updates of this model that have finished in the last 90 days. */
    updates: z.int(),
    /** Percent that fail. */
    failure_rate: z.number(),
    /** Seconds from offer to end, of half of them at most. */
    usual_duration_s: z.number(),
    /** Whether the two above are from this fleet's past; else they are assumed. */
    recorded: z.boolean(),
  }),
  /** How each run ended; the other numbers are of the run in the middle, by its length. */
  ends: z.record(z.enum(REHEARSAL_ENDS), z.int()),
  expected_duration_s: z.number(),
  /** Devices that would not have begun by its `end_at`. */
  left_out: z.int(),
  /** Where a run was stopped, or had not ended, the most frequent first. */
  stops: z.array(z.object({ stage: z.string(), reason: z.string(), runs: z.int() })),
  stages: z.array(
    z.object({
      name: z.string(),
      devices: z.int(),
      /** Seconds after the start; null where it never came to that. */
      opens_after_s: z.number().nullable(),
      passes_after_s: z.number().nullable(),
    }),
  ),
  load: z.object({
    /** Updates under way at a time, at most. */
    peak_concurrent: z.int(),
    /** Downloads that begin in a minute, at most. */
    peak_downloads_per_minute: z.int(),
    /** Of all downloads that begin, second tries among them. */
    total_bytes: z.int(),
    /** Bytes per second, in the busiest minute. */
    peak_bytes_per_second: z.number(),
  }),
  /** How it goes on, at most 60 points. */
  progress: z.array(z.object({ after_s: z.number(), completed: z.int(), failed: z.int() })),
  /** What the rehearsal takes for granted, in sentences. */
  assumptions: z.array(z.string()),
});
export type Rehearsal = z.infer<typeof rehearsal>;
