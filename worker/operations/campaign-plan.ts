/** What a campaign would do before it is started: its stages, its devices, and what makes no sense. */
import { artifactOf, type Definition } from '../../durable-objects/campaign/definition.ts';
import { isNewer, newMember } from '../../durable-objects/campaign/joining.ts';
import {
  groupsBehindLead,
  leadOf,
  sampleBound,
  sampleSize,
  sharesOf,
} from '../../durable-objects/campaign/stages.ts';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import {
  type CampaignPolicy,
  type CampaignPreview,
  type CampaignTarget,
  campaignPolicy,
  DEFAULT_STAGES,
  ONE_DEVICE,
  type Stage,
} from '../../protocol/api.ts';
import { hash32 } from '../../protocol/shards.ts';
import { targetDevices } from '../../store/campaign-targets.ts';
import { isInstalled } from '../../store/catalogue.ts';
import { type FirmwareRow, listSteps } from '../../store/firmware.ts';
import { findGroup } from '../../store/groups.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';

const SAMPLE = 5;
/** More groups than there are; beside a hash of 32 bits they fit into a number. */
const GROUPS = 2 ** 21;
const MOST_STAGES = 50;
/** An alarm cannot be set later than some time in the 23rd century. */
const LATEST_START = Date.UTC(2200, 0);

/**
 * The stages of a campaign: those that were asked for, else as the settings have them. One device comes before them
 * where that is wanted: as `safe_mode` says, else where nobody chose the stages and no device runs the firmware yet.
 * Throws a 422 where there is no room for another stage, or one of them can be no stage.
 */
export async function plannedStages(
  c: AppContext,
  firmware: FirmwareRow,
  { stages, safe_mode }: { stages: readonly Stage[] | undefined; safe_mode: boolean | undefined },
): Promise<Stage[]> {
  const chosen = stages ?? (await readSettings(c.env)).campaign_defaults.stages;
  const all = chosen ?? DEFAULT_STAGES;
  await mustBeStatic(c, all);
  const safe = safe_mode ?? (chosen === undefined && !(await isInstalled(c.var.db, firmware)));
  const [first] = all;
  if (!safe || (first?.count === 1 && first.group === undefined)) return [...all];
  // The usual canary becomes one device: still 1 %, but no more than that.
  if (isUsualCanary(first)) return [{ ...first, ...ONE_DEVICE }, ...all.slice(1)];
  if (all.length < MOST_STAGES) return [ONE_DEVICE, ...all];
  throw new ProblemError(422, 'Too many stages', `With safe_mode there may be ${MOST_STAGES - 1} stages.`);
}

const isUsualCanary = (stage: Stage | undefined): boolean =>
  stage !== undefined && stage.name === DEFAULT_STAGES[0]?.name && stage.percentage === 1;

/** Throws a 422 where a stage is a group with a rule: which devices are in it is known for a target only. */
export async function mustBeStatic(c: AppContext, stages: readonly Stage[]): Promise<void> {
  const errors: { field: string; message: string }[] = [];
  for (const [index, { group }] of stages.entries()) {
    if (group === undefined || (await findGroup(c.var.db, group))?.kind !== 'rule') continue;
    const message = `"${group}" has a rule: a stage is a static group, one its devices are put into`;
    errors.push({ field: `stages.${index}.group`, message });
  }
  if (errors.length > 0) {
    throw new ProblemError(
      422,
      'Not a static group',
      'A group with a rule can be a target, no stage.',
      errors,
    );
  }
}

/** Counts the target's devices as a start would: reads every one of them. */
export async function previewCampaign(
  c: AppContext,
  firmware: FirmwareRow,
  target: CampaignTarget,
  stages: readonly Stage[],
): Promise<CampaignPreview> {
  const { db } = c.var;
  const steps = await listSteps(db, artifactOf(firmware));
  const definition: Definition = {
    id: '',
    name: '',
    target,
    policy: campaignPolicy.parse({ stages }),
    firmware: artifactOf(firmware),
    steps: steps.map(artifactOf),
  };
  const eligible = new InOrder();
  const skipped = new Map<string, number>();
  const first = new First();
  let found = 0;
  let goingBack = 0;
  const bound = sampleBound(target.percentage ?? 100);
  for await (const { devices } of targetDevices(db, firmware.model, target)) {
    found += devices.length;
    for (const device of devices) {
      const { skip } = newMember(definition, device);
      if (skip !== null) {
        skipped.set(skip.error, (skipped.get(skip.error) ?? 0) + 1);
        continue;
      }
      const { id, serial_no, current_firmware, group } = device;
      eligible.add(serial_no, group ?? '');
      if (isNewer(current_firmware, firmware) && hash32(serial_no) <= bound) goingBack += 1;
      first.add({ id, serial_no, current_firmware });
    }
  }
  const { serial_nos: serialNos = [] } = target;
  const count = sampleSize(target, eligible.size, () => eligible.below(bound));
  return {
    count,
    sample: first.list(count),
    skipped: [...skipped].map(([error, n]) => ({ error, count: n })),
    unknown_serial_nos: serialNos.length === 0 ? null : new Set(serialNos).size - found,
    would_go_back: goingBack,
    new_to_fleet: !(await isInstalled(db, firmware)),
    stages: stageSizes(
      stages,
      count,
      groupsBehindLead(stages, count, (first) => eligible.groups(first)),
    ),
  };
}

/** The few devices that a campaign would take first. */
class First {
  #devices: CampaignPreview['sample'] = [];

  add(device: CampaignPreview['sample'][number]): void {
    const order = ({ serial_no }: { serial_no: string }) => hash32(serial_no);
    const last = this.#devices.at(-1);
    if (last !== undefined && this.#devices.length === SAMPLE && order(device) >= order(last)) return;
    this.#devices = [...this.#devices, device].sort((a, b) => order(a) - order(b)).slice(0, SAMPLE);
  }

  /** The first `most` of them, by serial number. */
  list(most: number): CampaignPreview['sample'] {
    return this.#devices.slice(0, most).sort((a, b) => (a.serial_no < b.serial_no ? -1 : 1));
  }
}

/** A target's devices and their groups in the order in which a campaign takes them, a number each: there are millions. */
class InOrder {
  readonly #names: string[] = [];
  readonly #index = new Map<string, number>();
  /** The hash of the serial number, then which group. */
  readonly #devices: number[] = [];

  get size(): number {
    return this.#devices.length;
  }

  add(serialNo: string, group: string): void {
    let index = this.#index.get(group);
    if (index === undefined) {
      index = this.#names.push(group) - 1;
      this.#index.set(group, index);
    }
    this.#devices.push(hash32(serialNo) * GROUPS + index);
  }

  /** How many lie at or below a hash. */
  below(h: number): number {
    return this.#devices.filter((device) => Math.floor(device / GROUPS) <= h).length;
  }

  /** How many of the first `count` are in each group, and in none (''). */
  groups(count: number): Map<string, number> {
    const taken = new Map<string, number>();
    for (const device of Float64Array.from(this.#devices).sort().subarray(0, count)) {
      const name = this.#names[device % GROUPS] ?? '';
      taken.set(name, (taken.get(name) ?? 0) + 1);
    }
    return taken;
  }
}

/** How many of `count` devices each stage has; `behindLead` is how many each group has behind those that lead. */
function stageSizes(
  stages: readonly Stage[],
  count: number,
  behindLead: ReadonlyMap<string, number>,
): CampaignPreview['stages'] {
  const ends = sharesOf(stages, behindLead);
  const lead = leadOf(stages);
  let [next, before, left] = [0, 0, count];
  return stages.map(({ name, group }, index) => {
    const leads = lead[index];
    if (leads !== undefined) {
      const devices = Math.min(leads, left);
      left -= devices;
      return { name, devices };
    }
    if (group !== undefined) return { name, devices: behindLead.get(group) ?? 0 };
    const end = ends[next++] ?? before;
    const devices = end - before;
    before = end;
    return { name, devices };
  });
}

/** Throws a 422 where parts of a policy contradict each other. */
export function mustMakeSense(policy: CampaignPolicy): void {
  const { start_at, end_at, ramp, rate_per_minute, kind, on_failure } = policy;
  const errors: { field: string; message: string }[] = [];
  if (start_at != null && end_at != null && Date.parse(end_at) <= Date.parse(start_at)) {
    errors.push({ field: 'end_at', message: 'it must end after it starts' });
  }
  if (start_at != null && Date.parse(start_at) > LATEST_START) {
    errors.push({ field: 'start_at', message: 'no clock is set that far ahead: it must start before 2200' });
  }
  if (ramp != null && ramp.base_rate_per_minute > rate_per_minute) {
    const message = 'it must begin no faster than rate_per_minute, which it grows up to';
    errors.push({ field: 'ramp.base_rate_per_minute', message });
  }
  if (kind === 'download_only' && on_failure === 'rollback') {
    const message = 'a download changes no device, so there is nothing to take back: use pause';
    errors.push({ field: 'on_failure', message });
  }
  if (errors.length > 0) {
    throw new ProblemError(422, 'Contradictory policy', 'Some fields do not fit together.', errors);
  }
}
