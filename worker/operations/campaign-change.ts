/** Changing a campaign that was made before: all of its policy; later not which devices its stages have. */
import { definitionOf } from '../../durable-objects/campaign/definition.ts';
import { writeCampaign } from '../../durable-objects/campaign/ledger.ts';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import { type CampaignPolicy, campaignPolicy } from '../../protocol/api.ts';
import { auditEntry } from '../../store/audit-log.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { mustBeStatic, mustMakeSense } from './campaign-plan.ts';
import type { CampaignAndFirmware } from './campaigns.ts';

/**
 * Changes what is named, and writes it into the audit log. What was approved is no longer what would start, so a
 * draft needs approval anew, and one that was to start by itself becomes a draft where the settings ask for approval.
 * Throws a 409 that says why it cannot.
 */
export async function changeCampaign(
  c: AppContext,
  { row, firmware }: CampaignAndFirmware,
  { name, ...change }: Partial<CampaignPolicy> & { name?: string | undefined },
): Promise<void> {
  const policy = campaignPolicy.parse({ ...row.policy, ...change });
  mustMakeSense(policy);
  if (change.stages !== undefined) await mustBeStatic(c, policy.stages);
  const started = row.status !== 'draft' && row.status !== 'scheduled';
  const campaign = c.env.CAMPAIGN.getByName(row.id);
  if (started) {
    const outcome = await campaign.changePolicy(policy);
    if (!outcome.ok) throw new ProblemError(409, 'Cannot change this campaign', `${outcome.problem}.`);
  }
  await writeCampaign(c.env, c.var.db, row.id, {
    policy,
    ...(name === undefined ? {} : { name }),
    ...(started ? {} : { approvedBy: null }),
  });
  if (row.status === 'scheduled') {
    if ((await readSettings(c.env)).approve_campaigns) {
      await campaign.unschedule();
      const statusReason = 'it was changed after its approval: it needs approval and a start anew';
      await writeCampaign(c.env, c.var.db, row.id, { status: 'draft', statusReason });
    } else {
      const outcome = await campaign.start(definitionOf({ ...row, policy }, firmware));
      if (!outcome.ok && (await campaign.look()) === null) {
        await writeCampaign(c.env, c.var.db, row.id, { status: 'draft', statusReason: outcome.problem });
      }
    }
  }
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'campaign.change',
    subject: row.id,
    detail: { ...change, ...(name === undefined ? {} : { name }) },
  });
}
