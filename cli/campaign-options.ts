/** What was said of a campaign on a command line, as the API is told it. */
import { type CampaignPolicy, type CampaignTarget, FAILURE_CLASSES } from '../protocol/api.ts';
import { serialNosOf } from '../protocol/serial-list.ts';
import { WrongUsage } from './api-client.ts';
import { parseWindow } from './maintenance-window.ts';
import { readText } from './text-file.ts';

export interface TargetOptions {
  targetModel?: string;
  targetVersion?: string;
  groups?: string[];
  tags?: string[];
  serials?: string[];
  serialsFile?: string;
  percentage?: number;
  dynamic?: boolean;
}

/** The target as the API is told it. Throws {@link WrongUsage} where a file of serial numbers holds none. */
export function targetOf(o: TargetOptions): CampaignTarget {
  const fromFile = o.serialsFile === undefined ? [] : serialsIn(o.serialsFile);
  if (o.serialsFile !== undefined && fromFile.length === 0)
    throw new WrongUsage(`${o.serialsFile} holds no serial numbers`);
  const serials = [...(o.serials ?? []), ...fromFile];
  return {
    model: o.targetModel,
    fw_version: o.targetVersion,
    groups: o.groups,
    tags: o.tags,
    serial_nos: serials.length === 0 ? undefined : serials,
    percentage: o.percentage,
    dynamic: o.dynamic,
  };
}

function serialsIn(file: string): string[] {
  try {
    return serialNosOf(readText(file));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new WrongUsage(`${file}: ${error.message}`);
  }
}

export interface PolicyOptions {
  failureThreshold?: number;
  minSample?: number;
  failureWeights?: string;
  silenceGate?: boolean;
  onFailure?: string;
  maxConcurrent?: number;
  rate?: number;
  ramp?: string;
  window?: string[];
  startAt?: string;
  endAt?: string;
  maxPerGateway?: string;
  timeout?: number;
  maxAttempts?: number;
  kind?: string;
  postponeLimit?: number;
  priority?: number;
}

/** What was said of the policy, as the API is told it; `none` takes a part away. */
export function policyOf(o: PolicyOptions): { [Name in keyof CampaignPolicy]?: unknown } {
  const none = <Value>(text: string | undefined, read: (text: string) => Value) =>
    text === undefined ? undefined : text === 'none' ? null : read(text);
  return {
    failure_threshold: o.failureThreshold,
    min_sample: o.minSample,
    failure_weights: o.failureWeights === undefined ? undefined : parseWeights(o.failureWeights),
    silence_gate: o.silenceGate,
    on_failure: o.onFailure,
    max_concurrent: o.maxConcurrent,
    rate_per_minute: o.rate,
    ramp: none(o.ramp, parseRamp),
    windows: o.window?.join() === 'none' ? [] : o.window?.map(parseWindow),
    start_at: none(o.startAt, (text) => parseTime('--start-at', text)),
    end_at: none(o.endAt, (text) => parseTime('--end-at', text)),
    max_per_gateway: none(o.maxPerGateway, parseCount),
    update_timeout_s: o.timeout,
    max_attempts: o.maxAttempts,
    kind: o.kind,
    postpone_limit_s: o.postponeLimit,
    priority: o.priority,
  };
}

function parseCount(text: string): number {
  if (!/^\d+$/.test(text)) throw new WrongUsage('--max-per-gateway takes a whole number, or none');
  return Number(text);
}

function parseWeights(text: string): Record<string, number> {
  const weights = text.split(',').map((part) => {
    const [, name, weight] = /^\s*([a-z]+)\s*=\s*(\d+(?:\.\d+)?)\s*$/.exec(part) ?? [];
    if (!FAILURE_CLASSES.some((known) => known === name))
      throw new WrongUsage(
        `--failure-weights: write it as rollback=2,timeout=0.5; there are ${FAILURE_CLASSES.join(', ')}`,
      );
    return [name, Number(weight)];
  });
  return Object.fromEntries(weights);
}

function parseRamp(text: string) {
  const match = /^(\d+),(\d+(?:\.\d+)?),(\d+)$/.exec(text.replaceAll(' ', ''));
  if (match === null) throw new WrongUsage('--ramp takes three numbers, such as 100,2,50');
  const [base_rate_per_minute, increment_factor, successes] = match.slice(1).map(Number);
  return { base_rate_per_minute, increment_factor, successes };
}

function parseTime(option: string, text: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime()))
    throw new WrongUsage(`${option} takes a time such as 2026-12-01T02:00:00+01:00`);
  return at.toISOString();
}
