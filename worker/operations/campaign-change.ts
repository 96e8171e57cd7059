/** Changing a campaign that was made before: all of it as a draft; later not which devices its stages have. */
import { isDeepStrictEqual } from 'node:util';
import { fingerprint } from '../../durable-objects/campaign/change.ts';
import {
  type CampaignPolicy,
  type CampaignTarget,
  campaignPolicy,
  campaignTarget,
} from '../../protocol/api.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { type CampaignRow, findCampaign } from '../../store/campaigns.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { mustBeStatic, mustMakeSense } from './campaign-plan.ts';
import { type CampaignAndFirmware, mustBeOpen, mustFit } from './campaigns.ts';

/** Whoever is overtaken by others this often has to ask again. */
const TRIES = 10;

/** What to change; the rest stays. */
export type CampaignEdit = Partial<CampaignPolicy> & {
  name?: string | undefined;
  firmware_id?: string | undefined;
  target?: CampaignTarget | undefined;
};

/**
 * Changes what is named, and writes what it was before and is now into the audit log; what says nothing new changes
 * nothing. Of changes at the same time none is lost: each is made on
 * what the one before has left, once that satisfies `check`. What was approved is no longer what would start, so a
 * draft needs approval anew, and one that was to start by itself becomes a draft where the settings ask for approval.
 * Throws a 409 that says why it cannot.
 */
export async function changeCampaign(
  c: AppContext,
  id: string,
  edit: CampaignEdit,
  check: (found: CampaignAndFirmware) => Promise<void> = async () => undefined,
): Promise<void> {
  let detail: Differences;
  for (let tries = 1; ; tries += 1) {
    const found = await findCampaign(c.var.db, id);
    if (found === undefined) throw new ProblemError(404, 'No such campaign', 'No campaign has this ID.');
    mustBeOpen(found.row);
    await check(found);
    const change = await changeOf(c, found, edit);
    detail = differences(found.row, change);
    if (Object.keys(detail).length === 0) return;
    const outcome = await c.env.CAMPAIGN.getByName(id).change(id, await fingerprint(found.row), change);
    if (outcome.ok) break;
    if (outcome.stale === true && tries < TRIES) continue;
    throw new ProblemError(409, 'Cannot change this campaign', `${outcome.problem}.`);
  }
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'campaign.change',
    subject: id,
    detail,
  });
}

type Differences = Record<string, { from: unknown; to: unknown }>;

/** What a change changes, by the names the API has for it. */
function differences(
  row: CampaignRow,
  { policy, ...change }: Awaited<ReturnType<typeof changeOf>>,
): Differences {
  const before: Record<string, unknown> = {
    ...campaignPolicy.parse(row.policy),
    name: row.name,
    firmware_id: row.firmwareId,
    target: row.target,
  };
  const { firmwareId: firmware_id = row.firmwareId, name = row.name, target = row.target } = change;
  const after = { ...policy, name, firmware_id, target };
  return Object.fromEntries(
    Object.entries(after)
      .filter(([key, to]) => !isDeepStrictEqual(to, before[key]))
      .map(([key, to]) => [key, { from: before[key] ?? null, to }]),
  );
}

/** What becomes of the campaign's row. Throws where that makes no sense. */
async function changeOf(
  c: AppContext,
  { row, firmware }: CampaignAndFirmware,
  { name, firmware_id, target, ...change }: CampaignEdit,
) {
  const policy = campaignPolicy.parse({ ...row.policy, ...change });
  mustMakeSense(policy);
  if (change.stages !== undefined) await mustBeStatic(c, policy.stages);
  // Whoever sends back all they have read changes no more than they have changed.
  const other = firmware_id !== undefined && firmware_id !== row.firmwareId;
  const elsewhere = target !== undefined && !isSame(target, row.target);
  if (other || elsewhere) {
    await mustFit(c, firmware_id ?? firmware.id, target ?? row.target);
  }
  return {
    policy,
    ...(name === undefined ? {} : { name }),
    ...(other ? { firmwareId: firmware_id } : {}),
    ...(elsewhere ? { target } : {}),
  };
}

/** Whether both say the same, in whatever order. */
const isSame = (a: CampaignTarget, b: CampaignTarget): boolean =>
  JSON.stringify(campaignTarget.parse(a)) === JSON.stringify(campaignTarget.parse(b));
