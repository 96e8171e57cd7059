/** Making campaigns and watching them. */
import { setTimeout as wait } from 'node:timers/promises';
import {
  type Campaign,
  type CampaignMetrics,
  type CampaignPreview,
  campaign,
  campaignMetrics,
  campaignPreview,
  type Firmware,
  firmware,
} from '../protocol/api.ts';
import { parseStagePlan } from '../protocol/stage-plan.ts';
import { parseFirmwareTitle } from '../protocol/target-path.ts';
import { type ApiClient, ApiError, CommandFailed, WrongUsage } from './api-client.ts';
import { type PolicyOptions, policyOf, type TargetOptions, targetOf } from './campaign-options.ts';
import { bar, say } from './output.ts';

const POLL_MS = 1000;
/** How long the server may be away from a campaign that is watched: it goes on meanwhile. */
const PATIENCE_MS = 300_000;
const OVER = ['completed', 'cancelled', 'rolled_back'];

/** The firmware named by its ID, or as `MODEL/VERSION`; an app as `MODEL/NAME@VERSION`. */
export async function findFirmware(api: ApiClient, title: string): Promise<Firmware> {
  if (!title.includes('/')) return api.get(`/firmware/${encodeURIComponent(title)}`, firmware);
  const named = parseFirmwareTitle(title);
  if (named === undefined)
    throw new WrongUsage('name firmware as MODEL/VERSION, an app as MODEL/NAME@VERSION');
  const { model, version, kind, name } = named;
  const query = new URLSearchParams({ model, version, kind, ...(name === null ? {} : { name }) });
  const found = (await api.list(`/firmware?${query}`, firmware)).find((row) => row.name === name);
  if (found === undefined) throw new CommandFailed(`there is no firmware ${title}`);
  return found;
}

/** Stages as they are written on the command line; what was said for all of them is for those that say nothing else. */
export function parseStages(text: string, { successThreshold, minDuration }: GateOptions) {
  try {
    return parseStagePlan(text).map((stage) => ({
      ...(successThreshold === undefined ? {} : { success_threshold: successThreshold }),
      ...(minDuration === undefined ? {} : { min_duration_s: minDuration }),
      ...stage,
    }));
  } catch (error) {
    throw error instanceof RangeError ? new WrongUsage(`--stages: ${error.message}`) : error;
  }
}

export interface GateOptions {
  successThreshold?: number;
  minDuration?: number;
}

/** A campaign's stages, other ones or with other gates; `undefined` where nothing was said of them. */
export async function changedStages(api: ApiClient, path: string, o: GateOptions & { stages?: string }) {
  if (o.stages !== undefined) return parseStages(o.stages, o);
  if (o.successThreshold === undefined && o.minDuration === undefined) return undefined;
  const { stages } = await api.get(path, campaign);
  return stages.map((stage) => ({
    ...stage,
    success_threshold: o.successThreshold ?? stage.success_threshold,
    min_duration_s: o.minDuration ?? stage.min_duration_s,
  }));
}

export interface CreateOptions extends TargetOptions, PolicyOptions, GateOptions {
  firmware: string;
  stages?: string;
  safeMode?: boolean;
  start?: boolean;
}

/**
 * What a step of CI that is run again began before: a campaign of this name with this firmware that nobody has ended.
 * Started where that is wanted and was not done.
 */
export async function findBegun(
  api: ApiClient,
  name: string,
  firmwareId: string,
  start: boolean,
): Promise<Campaign | undefined> {
  const all = await api.list('/campaigns', campaign);
  const begun = all.find(
    (row) =>
      row.name === name &&
      row.firmware_id === firmwareId &&
      row.status !== 'cancelled' &&
      row.status !== 'rolled_back',
  );
  return begun?.status === 'draft' && start
    ? await api.post(`/campaigns/${begun.id}/start`, campaign)
    : begun;
}

const stagesOf = (o: GateOptions & { stages?: string }) => {
  if (o.stages !== undefined) return parseStages(o.stages, o);
  if (o.successThreshold === undefined && o.minDuration === undefined) return undefined;
  throw new WrongUsage('--success-threshold and --min-duration are of stages: say --stages, too');
};

/** Makes a campaign, and starts it where that is wanted. */
export async function createCampaign(api: ApiClient, name: string, o: CreateOptions): Promise<Campaign> {
  const said = {
    name,
    target: targetOf(o),
    stages: stagesOf(o),
    safe_mode: o.safeMode,
    ...policyOf(o),
  };
  const { id: firmware_id } = await findFirmware(api, o.firmware);
  const made = await api.create('/campaigns', campaign, { ...said, firmware_id });
  return o.start === true ? await api.post(`/campaigns/${made.id}/start`, campaign) : made;
}

/** What a campaign would do. */
export async function previewCampaign(
  api: ApiClient,
  o: Omit<CreateOptions, keyof PolicyOptions>,
): Promise<CampaignPreview> {
  const said = { target: targetOf(o), stages: stagesOf(o), safe_mode: o.safeMode };
  const { id: firmware_id } = await findFirmware(api, o.firmware);
  return api.post('/campaigns/preview', campaignPreview, { ...said, firmware_id });
}

export interface WatchOptions {
  json: boolean;
  /** Milliseconds; for ever without. */
  timeoutMs: number | undefined;
}

/** Tells how a campaign goes until it is over or paused; throws unless it completed. */
export async function watch(
  api: ApiClient,
  id: string,
  { json, timeoutMs }: WatchOptions,
): Promise<Campaign> {
  const end = timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs;
  let told = '';
  let heardAt: number | undefined;
  for (;;) {
    let now: Campaign;
    let metrics: CampaignMetrics;
    try {
      now = await api.get(`/campaigns/${id}`, campaign);
      metrics = await api.get(`/campaigns/${id}/metrics`, campaignMetrics);
    } catch (error) {
      const patient = heardAt !== undefined && Date.now() < Math.min(end, heardAt + PATIENCE_MS);
      if (!patient || !isOutage(error)) throw error;
      say(`${error.message}; trying again`);
      continue;
    }
    heardAt = Date.now();
    const state = JSON.stringify([now.status, metrics.counts, metrics.stage]);
    if (state !== told) {
      told = state;
      if (json)
        process.stdout.write(
          `${JSON.stringify({ id, status: now.status, reason: now.status_reason, ...metrics })}\n`,
        );
      else say(progressLine(now, metrics));
    }
    if (now.status === 'completed') return now;
    if (OVER.includes(now.status) || now.status === 'paused') {
      throw new CommandFailed(
        `the campaign is ${now.status}${now.status_reason === null ? '' : `: ${now.status_reason}`}`,
      );
    }
    if (Date.now() > end) throw new CommandFailed(`the campaign is still ${now.status} after the time given`);
    await wait(POLL_MS);
  }
}

/** Whether it is the server that fails, not what was asked of it. */
const isOutage = (error: unknown): error is CommandFailed =>
  error instanceof CommandFailed && !(error instanceof ApiError && error.status < 500);

function progressLine({ status }: Campaign, { counts, target, stage, stages }: CampaignMetrics): string {
  const done = counts.completed + counts.failed + counts.rollback + counts.skipped;
  const trouble = counts.failed + counts.rollback;
  const where = `stage ${stage.index + 1}/${stages.length} "${stage.name}"`;
  const rest = trouble === 0 ? '' : `, ${trouble} failed`;
  return `${status.padEnd(9)} ${bar(target === 0 ? 0 : done / target)} ${counts.completed}/${target} completed${rest}  ${where}`;
}
