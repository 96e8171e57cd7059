/** How many members each stage has, and when it passes or stops. Pure. */
import type { CampaignPolicy, Stage, UpdateState } from '../../protocol/api.ts';

/** Members by state. */
export type Counts = Record<UpdateState, number>;

/**
 * The first member that is not in stage i, for every stage: cumulative percentages of `total`, rounded, but every
 * stage gets at least one member while there are any left, so that 10 % of 12 is 1 and 1 % of 12 is not 0.
 */
export function stageEnds(total: number, stages: readonly Stage[]): number[] {
  let end = 0;
  return stages.map((stage, index) => {
    const wanted = index === stages.length - 1 ? total : Math.round((total * stage.percentage) / 100);
    end = Math.min(total, Math.max(wanted, end + 1));
    return end;
  });
}

/** What the gate says of a stage. `reason` is a sentence for the page and the API. */
export type Verdict = { kind: 'wait'; reason: string } | { kind: 'pass' } | { kind: 'stop'; reason: string };

export interface GateInput {
  stage: Stage;
  policy: Pick<CampaignPolicy, 'failure_threshold'>;
  counts: Counts;
  /** Failures an operator has accepted by resuming the campaign; they count as if they were none. */
  accepted_failures: number;
  /** How long the stage has been open, in milliseconds. */
  open_ms: number;
}

/**
 * Judges a stage. Skipped members count for nothing. Failures are failed and rolled back members; they are
 * compared with all members of the stage, so a stage stops as soon as it is certain to exceed its threshold.
 */
export function judge({ stage, policy, counts, accepted_failures, open_ms }: GateInput): Verdict {
  const members = total(counts) - counts.skipped;
  if (members === 0) return { kind: 'pass' };
  const failures = Math.max(0, counts.failed + counts.rollback - accepted_failures);
  const failed = percent(failures, members);
  if (failed > policy.failure_threshold) {
    return {
      kind: 'stop',
      reason: `stage "${stage.name}" stopped: ${failures} of ${members} failed (${show(failed)} %), more than ${show(policy.failure_threshold)} %`,
    };
  }
  const succeeded = percent(counts.completed + accepted_failures, members);
  const enough = succeeded >= stage.success_threshold;
  if (!enough && unfinished(counts) === 0) {
    return {
      kind: 'stop',
      reason: `stage "${stage.name}" stopped: all finished and ${show(succeeded)} % succeeded, less than ${show(stage.success_threshold)} %`,
    };
  }
  const bakeMs = stage.min_duration_s * 1000 - open_ms;
  if (enough && bakeMs <= 0) return { kind: 'pass' };
  const needs = [`${show(stage.success_threshold)} %`];
  const has = [`${show(succeeded)} %`];
  if (stage.min_duration_s > 0) {
    needs.push(duration(stage.min_duration_s));
    has.push(`${duration(Math.floor(open_ms / 1000))} so far`);
  }
  return {
    kind: 'wait',
    reason: `stage "${stage.name}" passes at ${needs.join(' and ')}: ${has.join(', ')}`,
  };
}

/** Members whose update is under way: each takes one of `max_concurrent`. */
export const inFlight = (c: Counts): number => c.offered + c.downloading + c.installing + c.rebooting;

/** Members that have not ended. */
export const unfinished = (c: Counts): number => c.pending + inFlight(c);

export const total = (c: Counts): number => Object.values(c).reduce((sum, n) => sum + n, 0);

/** Completed ÷ finished in percent, or null while nothing is finished. */
export function successRate(c: Counts): number | null {
  const finished = c.completed + c.failed + c.rollback;
  return finished === 0 ? null : Math.round(percent(c.completed, finished) * 100) / 100;
}

const percent = (part: number, whole: number): number => (part / whole) * 100;
const show = (n: number): string => String(Math.round(n * 10) / 10);

function duration(seconds: number): string {
  const [h, min, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return [h > 0 ? `${h} h` : '', min > 0 ? `${min} min` : '', s > 0 || seconds < 60 ? `${s} s` : '']
    .filter((text) => text !== '')
    .join(' ');
}
