/** The JSON of reports: how one device's update went, step by step, and how a whole campaign did. */
import { z } from 'zod';
import { deviceUpdate, type UpdateState, updateState } from './api.ts';

const ms = z.int();

/** How a try ended before its update did: `deferred`, not now; `arrived`, at a version on the way. */
export const tryOutcome = z.enum(['failed', 'rollback', 'deferred', 'arrived']);

/** A try that is over, as campaigns keep it of an update that goes on. Times are Unix milliseconds. */
export const earlierTry = z.object({
  attempt: z.int(),
  /** How many times in a row it ended like this. */
  times: z.int(),
  offered_at: ms.nullable(),
  downloading_at: ms.nullable(),
  installing_at: ms.nullable(),
  rebooting_at: ms.nullable(),
  ended_at: ms,
  outcome: tryOutcome,
  error: z.string().nullable(),
  detail: z.string().nullable(),
});
export type EarlierTry = z.infer<typeof earlierTry>;

/** One step of an update. */
export const updateStep = z.object({
  attempt: z.int(),
  state: z.enum([...updateState.options, 'deferred', 'arrived']),
  /** When the campaign heard of it. */
  at: z.iso.datetime(),
  /** Until the next step; null for the last one. */
  duration_s: z.number().nullable(),
  /** How many times in a row it happened: a device may say "not now" again and again. */
  times: z.int(),
  error: z.string().nullable(),
  detail: z.string().nullable(),
});
export type UpdateStep = z.infer<typeof updateStep>;

/** One device's part in a campaign, with every step it went through, oldest first. */
export const updateTimeline = deviceUpdate.extend({
  /** The device's group when it joined the campaign. */
  group: z.string().nullable(),
  /** From its first step to its end; null while it is not over. */
  duration_s: z.number().nullable(),
  steps: z.array(updateStep),
});
export type UpdateTimeline = z.infer<typeof updateTimeline>;

type Times = Pick<EarlierTry, 'offered_at' | 'downloading_at' | 'installing_at' | 'rebooting_at'>;

/** The try under way, or the last one. */
export interface PresentTry extends Times {
  attempt: number;
  status: UpdateState;
  ended_at: number | null;
  error: string | null;
  detail: string | null;
}

type Step = Omit<UpdateStep, 'at' | 'duration_s'> & { at: number };

/** The steps of an update, out of its tries. */
export function timelineOf(earlier: readonly EarlierTry[], present: PresentTry): UpdateStep[] {
  const steps: Step[] = [];
  for (const one of earlier) {
    const { attempt, outcome: state, ended_at: at, times, error, detail } = one;
    steps.push(...stepsOf(one, attempt, steps.at(-1)?.at), { attempt, state, at, times, error, detail });
  }
  const { attempt, status: state, ended_at: at, error, detail } = present;
  steps.push(...stepsOf(present, attempt, steps.at(-1)?.at));
  if (at !== null) steps.push({ attempt, state, at, times: 1, error, detail });
  return steps.map((step, i) => {
    const next = steps[i + 1];
    const duration_s = next === undefined ? null : Math.max(0, next.at - step.at) / 1000;
    return { ...step, at: new Date(step.at).toISOString(), duration_s };
  });
}

/** A try begins after the end of the one before: an offer that stood through it began nothing new. */
function stepsOf(times: Times, attempt: number, after = Number.NEGATIVE_INFINITY): Step[] {
  return (['offered', 'downloading', 'installing', 'rebooting'] as const).flatMap((state) => {
    const at = times[`${state}_at`];
    return at === null || at < after ? [] : [{ attempt, state, at, times: 1, error: null, detail: null }];
  });
}
