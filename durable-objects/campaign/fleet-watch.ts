/** Having the fleet shards tell a campaign of its members' heartbeats. */
import { SHARD_COUNT, shardOf } from '../../protocol/shards.ts';
import type { Env } from '../env.ts';
import type { Members } from './members.ts';

const shard = (env: Env, n: number) => env.FLEET_SHARD.getByName(`shard-${n}`);

/** From now on the campaign hears of every member that has not ended. One call a shard. */
export async function watchFleet(env: Env, campaignId: string, members: Members): Promise<void> {
  const byShard = Map.groupBy(members.waiting(Number.MAX_SAFE_INTEGER), (member) =>
    shardOf(member.serial_no),
  );
  await Promise.all(
    [...byShard].map(([n, group]) =>
      shard(env, n).watch(
        campaignId,
        group.map((member) => member.serial_no),
      ),
    ),
  );
}

/** The campaign has heard enough. */
export async function unwatchFleet(env: Env, campaignId: string): Promise<void> {
  await Promise.all(Array.from({ length: SHARD_COUNT }, (_, n) => shard(env, n).unwatch(campaignId)));
}
