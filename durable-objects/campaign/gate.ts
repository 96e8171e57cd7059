/** When a stage passes or stops. Pure. */
import { type CampaignPolicy, FAILURE_CLASSES, type Stage } from '../../protocol/api.ts';
import { type Counts, type Failures, participants, percent, unfinished } from './stages.ts';

/** What the gate says of a stage. `reason` is a sentence for the page and the API. */
export type Verdict = { kind: 'wait'; reason: string } | { kind: 'pass' } | { kind: 'stop'; reason: string };

/** What an operator has accepted of a stage by going on. */
export interface Accepted {
  /** Failures, weighted: they count as if they were none. */
  failures: number;
  /** How many members these are, whatever they weigh; they count as if they had succeeded. */
  members: number;
  /** Members that had fallen silent or gone back. */
  silent: number;
}

export const NOTHING_ACCEPTED: Accepted = { failures: 0, members: 0, silent: 0 };

export interface GateInput {
  stage: Stage;
  policy: Pick<CampaignPolicy, 'failure_threshold' | 'min_sample' | 'failure_weights'>;
  counts: Counts;
  failures: Failures;
  accepted: Accepted;
  /** Completed members that fell silent, beyond what is usual for devices that were not updated. */
  silent: number;
  /** Completed members that run again what they had before. */
  back: number;
  /** Whether a stage without devices may pass: one before it has shown that the update works. */
  proven: boolean;
  /** How long the stage has been open, in milliseconds. */
  open_ms: number;
}

/**
 * Judges a stage. Skipped members count for nothing; a stage that has only these passes when one before it has shown
 * that the update works, else it waits for an operator. Failures, weighted by their class, are compared with the members
 * that have finished once these are a sample, so that a large stage that fails stops early; before that with all
 * members of the stage, so that it stops when it is certain to exceed its threshold.
 */
export function judge(input: GateInput): Verdict {
  const { stage, counts, accepted, open_ms } = input;
  const members = participants(counts);
  if (members === 0) {
    if (input.proven) return { kind: 'pass' };
    const reason = `stage "${stage.name}" has no device that could show whether the update is good: open the next one yourself`;
    return { kind: 'wait', reason };
  }
  const tooMany = exceeded(input);
  if (tooMany !== undefined) return { kind: 'stop', reason: tooMany };
  const stayed = Math.max(0, counts.completed - lostOf(input));
  const succeeded = percent(stayed + accepted.members, members);
  const enough = succeeded >= stage.success_threshold;
  if (!enough && unfinished(counts) === 0) {
    return {
      kind: 'stop',
      reason: `stage "${stage.name}" stopped: all finished and ${below(succeeded, stage.success_threshold)} % succeeded, less than ${stage.success_threshold} %`,
    };
  }
  const bakeMs = stage.min_duration_s * 1000 - open_ms;
  if (enough && bakeMs <= 0) return { kind: 'pass' };
  const needs = [`${stage.success_threshold} %`];
  const has = [`${below(succeeded, stage.success_threshold)} %`];
  if (stage.min_duration_s > 0) {
    needs.push(duration(stage.min_duration_s));
    has.push(`${duration(Math.floor(open_ms / 1000))} so far`);
  }
  return {
    kind: 'wait',
    reason: `stage "${stage.name}" passes at ${needs.join(' and ')}: ${has.join(', ')}${failedSoFar(counts)}`,
  };
}

/** That the stage has more failures than its threshold allows, in words; `undefined` where it has not. */
export function exceeded(input: Omit<GateInput, 'open_ms' | 'proven'>): string | undefined {
  const { stage, policy, counts, failures, accepted } = input;
  const members = participants(counts);
  if (members === 0) return undefined;
  const lost = lostOf(input);
  const failed = Math.max(0, weighted(policy, failures) - accepted.failures) + lost;
  const many = Math.max(0, counts.failed + counts.rollback - accepted.members) + lost;
  const finished = counts.completed + counts.failed + counts.rollback;
  const [whole, of] =
    finished >= Math.min(policy.min_sample, members) ? [finished, 'finished'] : [members, ''];
  const share = percent(failed, whole);
  if (share <= policy.failure_threshold) return undefined;
  const what = lost > 0 ? `${lostHow(input)} after the update` : 'failed';
  const weighing = failed === many ? '' : ` and weigh as ${show(failed)}`;
  return `stage "${stage.name}" stopped: ${many} of ${whole}${of === '' || whole === members ? '' : ` ${of}`} ${what}${weighing} (${above(share, policy.failure_threshold)} %), more than ${policy.failure_threshold} %`;
}

/** Members that completed and did not stay, beyond those accepted. */
const lostOf = ({ silent, back, accepted }: Pick<GateInput, 'silent' | 'back' | 'accepted'>): number =>
  Math.max(0, silent + back - accepted.silent);

const lostHow = ({ silent, back }: Pick<GateInput, 'silent' | 'back'>): string =>
  back === 0
    ? 'failed or fell silent'
    : silent === 0
      ? 'failed or went back'
      : 'failed, fell silent or went back';

/** Failures as the policy weighs them. */
export function weighted(
  { failure_weights }: Pick<CampaignPolicy, 'failure_weights'>,
  failures: Failures,
): number {
  return FAILURE_CLASSES.reduce((sum, name) => sum + failures[name] * failure_weights[name], 0);
}

const failedSoFar = ({ failed, rollback }: Counts): string =>
  failed + rollback === 0 ? '' : `; ${failed + rollback} failed`;

const show = (n: number): string => String(Math.round(n * 100) / 100);
/** Shares as they are shown beside the threshold they have not reached, or have passed: never as if they were it. */
const below = (share: number, threshold: number): string => {
  const near = Math.round(share * 10) / 10;
  return String(near < threshold ? near : Math.floor(tenths(share)) / 10);
};
const above = (share: number, threshold: number): string => {
  const near = Math.round(share * 10) / 10;
  return String(near > threshold ? near : Math.ceil(tenths(share)) / 10);
};
const tenths = (share: number): number => Math.round(share * 1e10) / 1e9;

/** Seconds in words: `2 h 5 min`. */
export function duration(seconds: number): string {
  const [h, min, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return [h > 0 ? `${h} h` : '', min > 0 ? `${min} min` : '', s > 0 || seconds < 60 ? `${s} s` : '']
    .filter((text) => text !== '')
    .join(' ');
}
