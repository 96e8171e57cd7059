/** Rehearsing a campaign before it starts: what its object needs for that, from the ledger. */
import { artifactOf, type Definition, definitionOf } from '../../durable-objects/campaign/definition.ts';
import { endedBy } from '../../durable-objects/campaign/end.ts';
import { type FoundDevice, foundDevice } from '../../durable-objects/campaign/found.ts';
import { newMember } from '../../durable-objects/campaign/joining.ts';
import type { PastUpdates } from '../../durable-objects/campaign/rehearsal/player.ts';
import { sampleBound, sampleSize } from '../../durable-objects/campaign/stages.ts';
import { campaignPolicy } from '../../protocol/campaign-policy.ts';
import { REHEARSED_DEVICES, type Rehearsal } from '../../protocol/rehearsal.ts';
import { hash32 } from '../../protocol/shards.ts';
import { targetDevices } from '../../store/campaign-targets.ts';
import { listSteps } from '../../store/firmware.ts';
import { listConnections, updateHistory } from '../../store/rehearsal.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { type CampaignAndFirmware, mustBeOpen } from './campaigns.ts';

const DAY_MS = 86_400_000;
/** Where nothing is on record: the image at this rate, and so long for the rest. */
const ASSUMED_BYTES_PER_S = 1_000_000;
const ASSUMED_REST_S = 120;

/**
 * What the campaign would do, were it started now. `failureRate` (percent) takes the place of what is on record.
 * Reads every device of the target. Throws a 409 where it has started, its `end_at` has passed, or no device would take
 * part.
 */
export async function rehearseCampaign(
  c: AppContext,
  { row, firmware }: CampaignAndFirmware,
  failureRate: number | undefined,
): Promise<Rehearsal> {
  mustBeOpen(row);
  if (row.status !== 'draft' && row.status !== 'scheduled') {
    throw new ProblemError(
      409,
      'Cannot rehearse this campaign',
      `Only a campaign that has not started can be rehearsed; this one is ${row.status}.`,
    );
  }
  const { db } = c.var;
  const over = endedBy(campaignPolicy.parse(row.policy), Date.now());
  if (over !== undefined)
    throw new ProblemError(409, 'Cannot rehearse this campaign', `${over}: give it a later end_at first.`);
  const steps = await listSteps(db, artifactOf(firmware));
  const definition = definitionOf(row, firmware, steps);
  const { total, sample } = await sampleOf(c, definition);
  if (sample.length === 0) {
    throw new ProblemError(
      409,
      'Cannot rehearse this campaign',
      'No device needs this firmware: nothing matches the target, or all have it.',
    );
  }
  const since = (days: number) => new Date(Date.now() - days * DAY_MS);
  const ids = sample.map(({ device_id }) => device_id);
  const [connections, past] = await Promise.all([
    listConnections(db, ids, since(7)),
    updateHistory(db, firmware.model, since(90)),
  ]);
  const assumedMs = (ASSUMED_REST_S + firmware.sizeBytes / ASSUMED_BYTES_PER_S) * 1000;
  const durations = past.durations.length > 0 ? past.durations : [assumedMs];
  const rates = ratesOf(past, failureRate);
  const failing = rates.failed + rates.rollback + rates.timeout;
  return c.env.CAMPAIGN.getByName(row.id).rehearse({
    definition: { ...definition, target: {} },
    total,
    devices: sample.map((device) => ({
      device,
      presence: connections.get(device.device_id) ?? { before: true, changes: [] },
    })),
    past: { ...rates, durations },
    history: {
      updates: past.finished,
      failure_rate: Math.round(failing * 10_000) / 100,
      usual_duration_s: (durations[Math.floor(durations.length / 2)] ?? assumedMs) / 1000,
      recorded: past.durations.length > 0,
    },
  });
}

function ratesOf(
  past: Awaited<ReturnType<typeof updateHistory>>,
  failureRate: number | undefined,
): Omit<PastUpdates, 'durations'> {
  const { finished, failed, rollback, timeout } = past;
  if (failureRate !== undefined) return { failed: failureRate / 100, rollback: 0, timeout: 0 };
  const all = Math.max(1, finished);
  return { failed: failed / all, rollback: rollback / all, timeout: timeout / all };
}

/** Devices that would take part, each as likely as any other to be in the sample (reservoir sampling, algorithm R). */
async function sampleOf(
  c: AppContext,
  definition: Definition,
): Promise<{ total: number; sample: FoundDevice[] }> {
  const sample: FoundDevice[] = [];
  let [seen, below] = [0, 0];
  const { target, firmware } = definition;
  const bound = sampleBound(target.percentage ?? 100);
  for await (const { devices } of targetDevices(c.var.db, firmware.model, target)) {
    for (const device of devices) {
      const member = newMember(definition, device);
      if (member.skip !== null) continue;
      seen += 1;
      if (hash32(member.serial_no) <= bound) below += 1;
      if (sample.length < REHEARSED_DEVICES) sample.push(foundDevice(member));
      else {
        const at = Math.floor(Math.random() * seen);
        if (at < REHEARSED_DEVICES) sample[at] = foundDevice(member);
      }
    }
  }
  const total = sampleSize(target, seen, () => below);
  return { total, sample: sample.slice(0, total) };
}
