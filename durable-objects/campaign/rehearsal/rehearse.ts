/**
 * A campaign rehearsed before its start: its policy is played in the engine, in tables that are rolled back, against
 * the fleet as it came and went in the last week and the way its updates ended before.
 */
import type { CampaignPolicy } from '../../../protocol/api.ts';
import { REHEARSAL_ENDS, REHEARSALS, type Rehearsal } from '../../../protocol/rehearsal.ts';
import { Book } from '../book.ts';
import type { Definition } from '../definition.ts';
import type { Members } from '../members.ts';
import { dealAll, unprepared } from '../prepare.ts';
import type { PastUpdates, RecordedDevice } from './player.ts';
import { Rehearsed, type Run } from './run.ts';

export interface RehearsalInput {
  definition: Definition;
  /** How many devices would take part; those played are a sample of them. */
  total: number;
  devices: RecordedDevice[];
  past: PastUpdates;
  history: Rehearsal['history'];
}

const POINTS = 60;

/** Plays the campaign {@link REHEARSALS} times. Leaves nothing behind; only for an object that has not begun. */
export function rehearse(
  storage: DurableObjectStorage,
  members: Members,
  input: RehearsalInput,
  now: number,
): Rehearsal {
  const began = Math.max(now, new Date(input.definition.policy.start_at ?? 0).getTime());
  const runs = Array.from({ length: REHEARSALS }, (_, seed) =>
    playOnce(storage, members, input, { seed, began, recorded: now }),
  );
  runs.sort((a, b) => a.run.took_ms - b.run.took_ms);
  const middle = runs[Math.floor(runs.length / 2)];
  if (middle === undefined) throw new RangeError('a rehearsal has at least one run');
  return report(
    input,
    middle,
    runs.map(({ run }) => run),
    began,
  );
}

interface Played {
  run: Run;
  /** Members of each stage. */
  sizes: number[];
}

class RolledBack extends Error {}

function playOnce(
  storage: DurableObjectStorage,
  members: Members,
  input: RehearsalInput,
  { seed, began, recorded }: { seed: number; began: number; recorded: number },
): Played {
  let played: Played | undefined;
  try {
    storage.transactionSync(() => {
      members.create();
      const book = dealt(storage, members, input, began);
      const sizes = book.state.counts.map(({ pending }) => pending);
      const devices = new Map(input.devices.map((recorded) => [recorded.device.serial_no, recorded]));
      played = { run: new Rehearsed(book, devices, input.past, seed, began, recorded).run(), sizes };
      throw new RolledBack();
    });
  } catch (error) {
    if (!(error instanceof RolledBack)) throw error;
  }
  if (played === undefined) throw new Error('the rehearsal did not run');
  return played;
}

/** The campaign with its members in their stages, as at its start. */
function dealt(storage: DurableObjectStorage, members: Members, input: RehearsalInput, began: number): Book {
  const policy = playedPolicy(input.definition.policy, input.devices.length / input.total);
  const book = new Book(storage, members, unprepared({ ...input.definition, policy }, began));
  const devices = input.devices.map(({ device }) => device);
  book.join(dealAll(policy.stages, devices), began);
  Object.assign(book.state, { preparing: null, reason: null });
  return book;
}

/** The policy for a sample: what is counted in devices shrinks with it, and operators are there at once. */
function playedPolicy(policy: CampaignPolicy, share: number): CampaignPolicy {
  const scaled = (n: number) => Math.max(1, Math.round(n * share));
  const { ramp } = policy;
  return {
    ...policy,
    stages: policy.stages.map((stage) => ({
      ...stage,
      start: 'automatic',
      ...(stage.count === undefined ? {} : { count: scaled(stage.count) }),
    })),
    max_concurrent: scaled(policy.max_concurrent),
    rate_per_minute: policy.rate_per_minute * share,
    ramp:
      ramp == null
        ? ramp
        : {
            ...ramp,
            base_rate_per_minute: ramp.base_rate_per_minute * share,
            successes: scaled(ramp.successes),
          },
    max_per_gateway: share < 1 ? null : policy.max_per_gateway,
  };
}

function report(
  input: RehearsalInput,
  { run, sizes }: Played,
  runs: readonly Run[],
  began: number,
): Rehearsal {
  const { definition, total, devices, history } = input;
  const scale = total / devices.length;
  const many = (n: number) => Math.round(n * scale);
  const after = (at: number | undefined) => (at === undefined ? null : (at - began) / 1000);
  const startsPerMinute = many(run.peakStartsPerMinute);
  const size = definition.firmware.size_bytes;
  return {
    devices: total,
    played: devices.length,
    history,
    ends: Object.fromEntries(
      REHEARSAL_ENDS.map((end) => [end, runs.filter(({ ended }) => ended === end).length]),
    ) as Rehearsal['ends'],
    expected_duration_s: run.took_ms / 1000,
    left_out: many(run.leftOut),
    stops: stopsOf(runs, definition),
    stages: definition.policy.stages.map(({ name }, index) => ({
      name,
      devices: many(sizes[index] ?? 0),
      opens_after_s: after(run.opened[index]),
      passes_after_s: after(run.passed[index]),
    })),
    load: {
      peak_concurrent: many(run.peakConcurrent),
      peak_downloads_per_minute: startsPerMinute,
      total_bytes: many(run.starts) * size,
      peak_bytes_per_second: (startsPerMinute * size) / 60,
    },
    progress: thinned(run.progress).map(({ at, completed, failed }) => ({
      after_s: (at - began) / 1000,
      completed: many(completed),
      failed: many(failed),
    })),
    assumptions: assumptions(input),
  };
}

function stopsOf(runs: readonly Run[], { policy }: Definition): Rehearsal['stops'] {
  const stopped = runs.filter(({ ended }) => ended !== 'completed');
  const byStage = Map.groupBy(stopped, ({ stage }) => stage);
  return [...byStage]
    .map(([stage, those]) => ({
      stage: policy.stages[stage]?.name ?? '',
      reason: those[0]?.reason ?? '',
      runs: those.length,
    }))
    .sort((a, b) => b.runs - a.runs);
}

/** Of many points as many as can be looked at, the last among them. */
function thinned<Point>(points: readonly Point[]): Point[] {
  const every = Math.ceil(points.length / POINTS);
  return points.filter((_, i) => (points.length - 1 - i) % every === 0);
}

function assumptions({ definition: { policy }, total, devices, history }: RehearsalInput): string[] {
  const { stages, max_per_gateway } = policy;
  return [
    'Devices come and go as they did in the last week.',
    history.recorded
      ? 'Updates end as those of this model have ended in the last 90 days.'
      : `No finished update of this model is on record: each takes ${Math.round(history.usual_duration_s)} s.`,
    ...(devices.length < total
      ? [`${devices.length} of ${total} devices were played; what is counted in devices was scaled.`]
      : []),
    ...(stages.some(({ start }) => start === 'manual') ? ['Operators open manual stages at once.'] : []),
    ...(max_per_gateway != null && devices.length < total
      ? ['The limit behind one gateway was left out: a sample does not share its gateways.']
      : []),
    'No other campaign wants the same devices, and no device falls silent after its update.',
  ];
}
