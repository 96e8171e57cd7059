/** The database and the cache. */
import { StartError } from './data.ts';
import { given, reason } from './external.ts';
import { applyMigrations } from './migrate.ts';
import { type PostgresPart, startPostgres } from './postgres.ts';
import { type RedisPart, startRedis } from './redis.ts';
import type { Site } from './site.ts';

export interface Stores {
  databaseUrl: string;
  redisUrl: string;
}

/** Starts both, and brings the database's tables up to date. */
export async function startStores({ data, parts, say }: Site): Promise<Stores> {
  const databaseUrl = await given('DATABASE_URL', say, async () => {
    const { url } = await parts.run<PostgresPart>((before) => startPostgres(data, before?.port));
    return url;
  });
  await applyMigrations(databaseUrl).catch((error: unknown) => {
    throw new StartError(`the database does not take the migrations: ${reason(error)}`);
  });
  const redisUrl = await given('REDIS_URL', say, async () => {
    const { url } = await parts.run<RedisPart>((before) => startRedis(data, before?.port));
    return url;
  });
  say('database and cache are up');
  return { databaseUrl, redisUrl };
}
