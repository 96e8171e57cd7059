/** How many members each stage has, and how they are counted. Pure. */
import {
  type CampaignTarget,
  FAILURE_CLASSES,
  type FailureClass,
  type Stage,
  UPDATE_STATES,
  type UpdateState,
} from '../../protocol/api.ts';

/** Members by state. */
export type Counts = Record<UpdateState, number>;

/** Failed and rolled back members by how they failed. */
export type Failures = Record<FailureClass, number>;

export const emptyCounts = (): Counts =>
  Object.fromEntries(UPDATE_STATES.map((state) => [state, 0])) as Counts;

export const noFailures = (): Failures =>
  Object.fromEntries(FAILURE_CLASSES.map((name) => [name, 0])) as Failures;

/**
 * How many of the devices that could take part are in the sample. That of a dynamic campaign is who lies `below` its bound
 * in the order of hashes, so that of those who come later as many percent join; any other is counted exactly.
 */
export function sampleSize(
  { percentage = 100, dynamic }: CampaignTarget,
  eligible: number,
  below: () => number,
): number {
  if (eligible === 0 || percentage === 100) return eligible;
  return Math.max(1, dynamic === true ? below() : Math.round((eligible * percentage) / 100));
}

/** Hashes up to here are in a sample of so many percent. */
export const sampleBound = (percentage: number): number => (2 ** 32 * percentage) / 100;

/**
 * How many members each of the stages has that are counted in devices and come before the first group: these take from
 * everybody, so that one device can go first whatever group it is in. Without a group there are none.
 */
export function leadOf(stages: readonly Stage[]): number[] {
  if (stages.every(isShare)) return [];
  const next = stages.findIndex(({ count, percentage }) => count === undefined || percentage !== undefined);
  return stages.slice(0, next).flatMap(({ count }) => count ?? []);
}

/** How many members each group has, and none (''), among the first so many in their order. */
export type Groups = (first: number) => ReadonlyMap<string, number>;

/** How many of `keep` members each group has behind those that lead. */
export function groupsBehindLead(
  stages: readonly Stage[],
  keep: number,
  groups: Groups,
): Map<string, number> {
  const lead = leadOf(stages).reduce((sum, n) => sum + n, 0);
  const leading = lead === 0 ? new Map<string, number>() : groups(Math.min(lead, keep));
  return new Map([...groups(keep)].map(([group, n]) => [group, n - (leading.get(group) ?? 0)]));
}

/** Where the stages that are shares end, of the members that neither lead nor are in a group's stage. */
export function sharesOf(stages: readonly Stage[], behindLead: ReadonlyMap<string, number>): number[] {
  const own = new Set(stages.flatMap(({ group }) => group ?? []));
  let left = 0;
  for (const [group, n] of behindLead) if (!own.has(group)) left += n;
  return stageEnds(left, shares(stages));
}

/**
 * The stage of a member: it leads, is in a group's stage, or is the `position`-th of the others, given where the stages
 * of these end. `seen`: how many members come before it.
 */
export function stageOf(
  stages: readonly Stage[],
  ends: readonly number[],
  { seen, position, group }: { seen: number; position: number; group: string | null },
): { stage: number; isShare: boolean } {
  let led = 0;
  for (const [stage, n] of leadOf(stages).entries()) {
    led += n;
    if (seen < led) return { stage, isShare: false };
  }
  const own = group === null ? -1 : stages.findIndex((stage) => stage.group === group);
  if (own !== -1) return { stage: own, isShare: false };
  const index = ends.findIndex((end) => position < end);
  const stage = shares(stages)[index === -1 ? ends.length - 1 : index];
  return { stage: stage === undefined ? 0 : stages.indexOf(stage), isShare: true };
}

const isShare = ({ group }: Stage): boolean => group === undefined;

/** The stages that are neither a group's nor lead. */
const shares = (stages: readonly Stage[]): Stage[] => stages.filter(isShare).slice(leadOf(stages).length);

/**
 * The first member that is not in stage i, for every stage that is no group, of the `total` members that are in no
 * group's stage: cumulative percentages, rounded, or counts; but every stage gets at least one member while there
 * are any left, so that 10 % of 12 is 1 and 1 % of 12 is not 0.
 */
export function stageEnds(total: number, stages: readonly Stage[]): number[] {
  let end = 0;
  return stages.map(({ percentage, count }, index) => {
    const isLast = index === stages.length - 1;
    const share = percentage === undefined ? total : Math.round((total * percentage) / 100);
    const wanted = isLast ? total : Math.min(share, count === undefined ? total : end + count);
    end = Math.min(total, Math.max(wanted, end + 1));
    return end;
  });
}

/** Whether the devices of these stages are the same: what may not change while a campaign runs. */
export const sameReach = (a: readonly Stage[], b: readonly Stage[]): boolean => reachOf(a) === reachOf(b);

const reachOf = (stages: readonly Stage[]): string =>
  JSON.stringify(stages.map(({ percentage, count, group }) => [percentage, count, group]));

/** Members whose update is under way: each takes one of `max_concurrent`. */
export const inFlight = (c: Counts): number => c.offered + c.downloading + c.installing + c.rebooting;

/** Members that have not ended. */
export const unfinished = (c: Counts): number => c.pending + inFlight(c);

export const total = (c: Counts): number => Object.values(c).reduce((sum, n) => sum + n, 0);

/** Members that take part. */
export const participants = (c: Counts): number => total(c) - c.skipped;

/** Members that failed or went back. */
export const failed = (c: Counts): number => c.failed + c.rollback;

/** Completed ÷ finished in percent, or null while nothing is finished. */
export function successRate(c: Counts): number | null {
  const finished = c.completed + c.failed + c.rollback;
  return finished === 0 ? null : Math.round(percent(c.completed, finished) * 100) / 100;
}

/** Rounded to a billionth, so that a share that is exactly at a threshold is not beyond it by a rounding error. */
export const percent = (part: number, whole: number): number => Math.round((part / whole) * 1e11) / 1e9;
