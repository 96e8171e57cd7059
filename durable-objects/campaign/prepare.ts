/**
 * A campaign at its very start: its devices found in the ledger, then dealt out to the stages in the order of their
 * hashes. A large one takes many steps, each of them whole: a crash repeats at most one.
 */
import type { Stage } from '../../protocol/api.ts';
import { targetDevices } from '../../store/campaign-targets.ts';
import type { Database } from '../../store/connection.ts';
import type { Env } from '../env.ts';
import type { Book } from './book.ts';
import type { CampaignState, Dealing, Definition, Finding } from './definition.ts';
import { contenderOf, watch } from './fleet.ts';
import { behindUplinks, type Found, type FoundDevice } from './found.ts';
import { newMember } from './joining.ts';
import {
  emptyCounts,
  groupsBehindLead,
  noFailures,
  sampleBound,
  sampleSize,
  sharesOf,
  stageOf,
} from './stages.ts';

/** Devices handled in one step. */
const STEP = 20_000;

/** A campaign that is about to look for its devices. */
export const unprepared = (definition: Definition, now: number): CampaignState => ({
  definition,
  status: 'active',
  reason: 'looks for its devices',
  stage: 0,
  stage_opened_at: now,
  released: false,
  passed_at: {},
  stopped_by: null,
  accepted: [],
  silence: [],
  back: [],
  control: null,
  cursor: { h: -1, serial_no: '' },
  pace: null,
  counts: definition.policy.stages.map(emptyCounts),
  failures: definition.policy.stages.map(noFailures),
  errors: {},
  started_at: now,
  finished_at: null,
  take_back_after: null,
  take_back_until: null,
  taken_back: 0,
  preparing: { phase: 'finding', after: undefined, found: 0, eligible: 0 },
  sweep: null,
  withdraws: false,
  revision: 0,
  closed: null,
  recent: [],
  unwritten: true,
});

/** Whether all has been found, and nobody takes part nor can join. */
export const isForNobody = ({ state, definition }: Book): boolean =>
  state.preparing?.phase === 'dealing' && state.preparing.keep === 0 && definition.target.dynamic !== true;

/** Does a step of what is left to prepare. `target` is the ledger's: the object does not keep long lists. */
export async function prepareStep(
  env: Env,
  db: Database,
  book: Book,
  found: Found,
  target: Definition['target'],
): Promise<void> {
  const { preparing } = book.state;
  if (preparing?.phase === 'finding') await find(db, book, found, target, preparing);
  else if (preparing?.phase === 'dealing') await deal(env, book, found, preparing);
}

async function find(
  db: Database,
  book: Book,
  found: Found,
  target: Definition['target'],
  preparing: Finding,
): Promise<void> {
  const { definition, state } = book;
  const { model } = definition.firmware;
  let step = 0;
  for await (const { devices, last } of targetDevices(db, model, target, preparing.after)) {
    if (state.preparing !== preparing) return;
    const members = devices.map((device) => newMember(definition, device));
    found.add(members, preparing.found);
    preparing.after = last;
    preparing.found += members.length;
    preparing.eligible += members.filter(({ skip }) => skip === null).length;
    state.reason = `looks for its devices: ${preparing.found} so far`;
    book.keep();
    step += members.length;
    // A campaign nobody takes part in is refused at its start, so the first device that does is looked for at once.
    if (step >= STEP && preparing.eligible > 0) return;
  }
  if (state.preparing === preparing) toDealing(book, found, preparing);
}

/** All are found: how many of them each stage gets. */
function toDealing({ state, definition }: Book, found: Found, { eligible }: Finding): void {
  const { target } = definition;
  const keep = sampleSize(target, eligible, () => found.below(sampleBound(target.percentage ?? 100)));
  const { stages } = definition.policy;
  state.preparing = {
    phase: 'dealing',
    bucket: 0,
    keep,
    ends: sharesOf(
      stages,
      groupsBehindLead(stages, keep, (first) => found.groups(first)),
    ),
    seen: 0,
    dealt: 0,
  };
}

async function deal(env: Env, book: Book, found: Found, preparing: Dealing): Promise<void> {
  const { state, definition } = book;
  for (let step = 0; step < STEP; ) {
    const bucket = found.next(preparing.bucket);
    if (bucket === undefined) {
      found.drop();
      Object.assign(state, { preparing: null, reason: null, stage_opened_at: Date.now(), unwritten: true });
      book.keep();
      return;
    }
    const { members, ...dealt } = dealOut(definition.policy.stages, preparing, found.bucket(bucket));
    const pending = members.filter(({ error }) => error === null).map(({ serial_no }) => serial_no);
    // Told first: a crash in between tells them again, but no member goes unheard.
    const uplinks = await watch(env, contenderOf(state), pending);
    if (state.preparing !== preparing) return;
    Object.assign(preparing, dealt, { bucket: bucket + 1 });
    book.join(behindUplinks(members, uplinks), Date.now());
    state.reason = `deals its devices out: ${preparing.seen} of ${preparing.keep}`;
    book.keep();
    step += members.length;
  }
}

/** All devices there are, each with its stage. */
export function dealAll(
  stages: readonly Stage[],
  devices: readonly FoundDevice[],
): (FoundDevice & { stage: number })[] {
  const sorted = [...devices].sort((a, b) => a.h - b.h);
  const groups = (first: number) => {
    const some = Map.groupBy(sorted.slice(0, first), ({ grp }) => grp ?? '');
    return new Map([...some].map(([group, list]) => [group, list.length]));
  };
  const ends = sharesOf(stages, groupsBehindLead(stages, sorted.length, groups));
  const dealing = { phase: 'dealing' as const, bucket: 0, keep: devices.length, seen: 0, dealt: 0, ends };
  return dealOut(stages, dealing, sorted).members;
}

/** A bucket's devices with their stages, those beyond the sample left out; and how far the dealing is then. */
export function dealOut(
  stages: readonly Stage[],
  { keep, ends, ...before }: Dealing,
  devices: readonly FoundDevice[],
): { members: (FoundDevice & { stage: number })[]; seen: number; dealt: number } {
  let { seen, dealt } = before;
  const members: (FoundDevice & { stage: number })[] = [];
  for (const device of devices) {
    if (device.error !== null) {
      members.push({ ...device, stage: 0 });
    } else if (seen < keep) {
      const { stage, isShare } = stageOf(stages, ends, { seen, position: dealt, group: device.grp });
      members.push({ ...device, stage });
      seen += 1;
      if (isShare) dealt += 1;
    }
  }
  return { members, seen, dealt };
}
