/** What can be done to a campaign, for the API and the pages alike. */

import { z } from 'zod';
import type { Outcome } from '../../durable-objects/campaign/campaign.ts';
import { fingerprint } from '../../durable-objects/campaign/change.ts';
import { definitionOf } from '../../durable-objects/campaign/definition.ts';
import { plannedMetrics } from '../../durable-objects/campaign/metrics.ts';
import type { Snapshot } from '../../durable-objects/campaign/snapshot.ts';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import {
  type Campaign,
  type CampaignMetrics,
  type CampaignTarget,
  type CreateCampaign,
  campaignMetrics,
  campaign as campaignSchema,
} from '../../protocol/api.ts';
import { firmwareTitle } from '../../protocol/target-path.ts';
import { auditEntry, hasDone } from '../../store/audit-log.ts';
import { cacheKey, TTL_S } from '../../store/cache.ts';
import {
  addCampaign,
  type CampaignRow,
  campaignOf,
  findCampaign,
  type StoredCampaign,
} from '../../store/campaigns.ts';
import { type FirmwareRow, findFirmware } from '../../store/firmware.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { mustMakeSense, plannedStages } from './campaign-plan.ts';
import { mustBeInstallable, pauseIfStopped } from './withdrawn.ts';

export interface CampaignAndFirmware {
  row: StoredCampaign;
  firmware: FirmwareRow;
}

export const CAMPAIGN_ACTIONS = [
  'approve',
  'start',
  'pause',
  'resume',
  'cancel',
  'advance',
  'retry',
] as const;
export type CampaignAction = (typeof CAMPAIGN_ACTIONS)[number];

/** After these, devices are offered the firmware. */
const OFFERS: ReadonlySet<CampaignAction> = new Set(['start', 'resume', 'retry']);

const objectOf = (c: AppContext, id: string) => c.env.CAMPAIGN.getByName(id);

/**
 * Stores a draft. What its maker did not say (`said` is the input as it came) is as the fleet's settings have it.
 * Throws where the firmware is unknown, unpublished, or for another model than the target's.
 */
export async function createCampaign(c: AppContext, create: CreateCampaign, said: object): Promise<Campaign> {
  const firmware = await mustFit(c, create.firmware_id, create.target);
  const { campaign_defaults } = await readSettings(c.env);
  const defaults = Object.entries(campaign_defaults).filter(([name]) => !(name in said));
  const { safe_mode, ...full } = { ...create, ...Object.fromEntries(defaults) };
  mustMakeSense(full);
  const chosen = 'stages' in said ? create.stages : undefined;
  const stages = await plannedStages(c, firmware, { stages: chosen, safe_mode });
  const row = await addCampaign(c.var.db, { ...full, stages }, c.var.principal.actor);
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'campaign.create',
    subject: row.id,
    detail: { name: row.name, firmware: firmwareTitle(firmware) },
  });
  return campaignOf({ ...row, archived: false }, firmware);
}

/** The firmware, where a campaign can take it to these devices. Throws what is wrong with it. */
export async function mustFit(c: AppContext, id: string, { model }: CampaignTarget): Promise<FirmwareRow> {
  const firmware = await findFirmware(c.var.db, id);
  if (firmware === undefined)
    throw new ProblemError(422, 'No such firmware', 'firmware_id names no firmware.');
  mustBeInstallable(firmware);
  if (firmware.state !== 'published') {
    throw new ProblemError(
      409,
      'Firmware not published',
      'Only signed, published firmware can enter a campaign: publish it first.',
    );
  }
  if (model !== undefined && model !== firmware.model) {
    throw new ProblemError(
      422,
      'Model does not match',
      `This firmware is for ${firmware.model}; the target names another model.`,
    );
  }
  return firmware;
}

/** What more is said with an action. */
export interface ActionDetail {
  /** For `retry`: only devices that failed with it. */
  error?: string | undefined;
  /** For `advance`: the open stage it is about, by its index. */
  stage?: number | undefined;
}

/** Does what an operator says. Throws a 409 that says why it cannot. */
export async function act(
  c: AppContext,
  found: CampaignAndFirmware,
  action: CampaignAction,
  detail: ActionDetail = {},
): Promise<void> {
  const { actor } = c.var.principal;
  mustBeOpen(found.row);
  if (OFFERS.has(action)) mustBeInstallable(found.firmware);
  const outcome = await perform(
    c,
    found,
    action,
    `${action === 'pause' ? 'paused' : 'cancelled'} by ${actor}`,
    detail,
  );
  if (!outcome.ok) throw new ProblemError(409, `Cannot ${action} this campaign`, `${outcome.problem}.`);
  if (OFFERS.has(action)) await pauseIfStopped(c, found.row);
  await auditEntry(c.var.db, {
    actor,
    action: `campaign.${action}`,
    subject: found.row.id,
    ...(detail.error === undefined ? {} : { detail: { error: detail.error } }),
  });
}

async function perform(
  c: AppContext,
  found: CampaignAndFirmware,
  action: CampaignAction,
  reason: string,
  { error, stage }: ActionDetail,
): Promise<Outcome> {
  const { id, status, startedAt } = found.row;
  if (status === 'cancelled' && startedAt === null)
    return { ok: false, problem: 'the campaign is cancelled' };
  const campaign = objectOf(c, id);
  switch (action) {
    case 'approve':
      return approve(c, found.row);
    case 'start':
      return start(c, found);
    case 'advance':
      return campaign.advance(stage ?? 0);
    case 'retry':
      return campaign.retry(error);
    case 'pause':
      return campaign.pause(reason);
    case 'resume':
      return campaign.resume();
    case 'cancel':
      return cancel(c, found.row, reason);
  }
}

async function start(c: AppContext, { row, firmware }: CampaignAndFirmware): Promise<Outcome> {
  if (row.status !== 'draft') return { ok: false, problem: `the campaign is ${row.status}` };
  if ((await readSettings(c.env)).approve_campaigns) {
    if (row.approvedBy === null) {
      return { ok: false, problem: 'the settings ask for approval by a second person first' };
    }
    // Whoever approved it may have changed it before: another one looks at what starts.
    if (row.approvedBy === c.var.principal.actor) {
      return { ok: false, problem: 'you approved this campaign: somebody else has to start it' };
    }
  }
  return objectOf(c, row.id).start(definitionOf(row, firmware), await fingerprint(row));
}

/** Whether whoever asks has ever changed the campaign. */
export const hasChanged = (c: AppContext, { id, createdAt }: Pick<CampaignRow, 'id' | 'createdAt'>) =>
  hasDone(c.var.db, { actor: c.var.principal.actor, action: 'campaign.change', subject: id }, createdAt);

async function approve(c: AppContext, row: CampaignRow): Promise<Outcome> {
  const { actor } = c.var.principal;
  if (actor === row.createdBy) {
    return { ok: false, problem: 'you made this campaign: somebody else has to approve it' };
  }
  if (await hasChanged(c, row))
    return { ok: false, problem: 'you changed this campaign: somebody else has to approve it' };
  return objectOf(c, row.id).approve(row.id, await fingerprint(row), actor);
}

/** Throws a 409 where the campaign is in the archive. */
export function mustBeOpen(row: StoredCampaign): void {
  if (!row.archived) return;
  throw new ProblemError(409, 'Campaign archived', 'It ended long ago and can only be read: make a new one.');
}

/** Leaves one device out of a campaign. Throws a 409 that says why it cannot. */
export async function skipDevice(c: AppContext, id: string, serialNo: string): Promise<void> {
  const { actor } = c.var.principal;
  const outcome = await objectOf(c, id).skip(serialNo, actor);
  if (!outcome.ok) throw new ProblemError(409, 'Cannot leave this device out', `${outcome.problem}.`);
  await auditEntry(c.var.db, {
    actor,
    action: 'campaign.skip',
    subject: id,
    detail: { serial_no: serialNo },
  });
}

async function cancel(c: AppContext, { id, status }: CampaignRow, reason: string): Promise<Outcome> {
  const campaign = objectOf(c, id);
  const waits = status === 'draft' || status === 'scheduled';
  if (waits && (await campaign.cancelUnbegun(id, reason))) return { ok: true };
  return campaign.cancel(reason);
}

const summary = z.object({ campaign: campaignSchema, metrics: campaignMetrics });

/** A campaign beside how it stands. */
export interface CampaignNow {
  campaign: Campaign;
  metrics: CampaignMetrics;
  latest: Snapshot['latest'];
  /** Counts what operators did to it since it began, and the stages that opened; its progress does not count. */
  revision: number;
}

/** The campaign beside how it stands right now: its object knows better than the ledger. Throws a 404. */
export async function campaignNow(c: AppContext, id: string): Promise<CampaignNow> {
  const known = await c.var.cache.read(
    cacheKey.campaign(id),
    summary.optional(),
    TTL_S.campaign,
    async () => {
      const found = await findCampaign(c.var.db, id);
      return found && summaryOf(found);
    },
  );
  if (known === undefined) throw new ProblemError(404, 'No such campaign', 'No campaign has this id.');
  return liveOf(c, known);
}

/** The same, past the cache: for whoever is about to change it. */
export const campaignOfRow = async (
  c: AppContext,
  { row, firmware }: CampaignAndFirmware,
): Promise<CampaignNow> => liveOf(c, summaryOf({ row, firmware }));

const summaryOf = ({ row, firmware }: CampaignAndFirmware) => ({
  campaign: campaignOf(row, firmware),
  metrics: row.metrics ?? plannedMetrics(definitionOf(row, firmware)),
});

async function liveOf(c: AppContext, { campaign, metrics }: z.infer<typeof summary>): Promise<CampaignNow> {
  const waits = campaign.started_at === null && campaign.status !== 'draft';
  const now = waits || campaign.archived ? null : await objectOf(c, campaign.id).look();
  if (now === null) return { campaign, metrics, latest: [], revision: 0 };
  return {
    campaign: {
      ...campaign,
      status: now.status,
      status_reason: now.reason,
      started_at: new Date(now.started_at).toISOString(),
      finished_at: now.finished_at === null ? null : new Date(now.finished_at).toISOString(),
    },
    metrics: now.metrics,
    latest: now.latest,
    revision: now.revision,
  };
}
