/** What a campaign asks of the fleet shards, one call a shard. */
import { SHARD_COUNT, shardOf } from '../../protocol/shards.ts';
import type { Env } from '../env.ts';
import type { ShownDevice } from '../fleet-shard/live-device.ts';
import type { Claimed, Contender } from '../fleet-shard/watches.ts';
import type { CampaignState } from './definition.ts';

const shard = (env: Env, n: number) => env.FLEET_SHARD.getByName(`shard-${n}`);

async function eachShard<Answer>(
  serialNos: readonly string[],
  ask: (n: number, group: string[]) => Promise<Record<string, Answer>>,
): Promise<Record<string, Answer>> {
  const byShard = Map.groupBy(serialNos, shardOf);
  const answers = await Promise.all([...byShard].map(([n, group]) => ask(n, group)));
  return Object.assign({}, ...answers);
}

/** The campaign among those that want the same devices. One app takes the place of no other. */
export function contenderOf({ definition, started_at }: CampaignState): Contender {
  const { id, name, firmware, policy } = definition;
  const replaces = firmware.kind === 'app' ? `app ${firmware.name ?? ''}` : firmware.kind;
  return { id, name, priority: policy.priority, started_at, replaces };
}

/** From now on the campaign hears of these devices. Answers behind which public addresses they are, if known. */
export const watch = (
  env: Env,
  campaign: Contender,
  serialNos: readonly string[],
): Promise<Record<string, string>> =>
  eachShard(serialNos, (n, group) => shard(env, n).watch(campaign, group));

/** The campaign has another priority or name from now on, for the devices it has already. */
export async function rank(env: Env, campaign: Contender): Promise<void> {
  await Promise.all(Array.from({ length: SHARD_COUNT }, (_, n) => shard(env, n).watch(campaign, [])));
}

/** Reserves devices for an update. Answers those the campaign may not have now, and those that are not there. */
export async function claim(env: Env, campaign: Contender, serialNos: readonly string[]): Promise<Claimed> {
  const byShard = Map.groupBy(serialNos, shardOf);
  const answers = await Promise.all([...byShard].map(([n, group]) => shard(env, n).claim(campaign, group)));
  return {
    refused: Object.assign({}, ...answers.map(({ refused }) => refused)),
    offline: answers.flatMap(({ offline }) => offline),
  };
}

/** The campaign waits with these devices; others may have them meanwhile. */
export async function yieldDevices(
  env: Env,
  campaignId: string,
  serialNos: readonly string[],
): Promise<void> {
  const byShard = Map.groupBy(serialNos, shardOf);
  await Promise.all([...byShard].map(([n, group]) => shard(env, n).yield(campaignId, group)));
}

/** The campaign is done with these devices. */
export async function release(env: Env, campaignId: string, serialNos: readonly string[]): Promise<void> {
  const byShard = Map.groupBy(serialNos, shardOf);
  await Promise.all([...byShard].map(([n, group]) => shard(env, n).unwatch(campaignId, group)));
}

/** The campaign is over. */
export async function releaseAll(env: Env, campaignId: string): Promise<void> {
  await Promise.all(Array.from({ length: SHARD_COUNT }, (_, n) => shard(env, n).unwatch(campaignId)));
}

/** How these devices are right now, and what runs there. */
export const inspect = (env: Env, serialNos: readonly string[]): Promise<Record<string, ShownDevice>> =>
  eachShard(serialNos, (n, group) => shard(env, n).inspect(group));
