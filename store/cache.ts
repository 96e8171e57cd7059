/**
 * The cache (Upstash Redis over REST). It only ever saves time: when it is slow or down, reads go to the source
 * and nothing fails. A value is deleted when its source changes, and dies by itself after its time to live.
 */
import { Redis } from '@upstash/redis';
import type { z } from 'zod';

/** What it takes to reach the cache; the Worker's environment has these. */
export interface CacheAddress {
  UPSTASH_REDIS_REST_URL: string;
  UPSTASH_REDIS_REST_TOKEN: string;
}

/** Longer than this and the source is asked instead. */
const PATIENCE_MS = 200;

/** Times to live, in seconds. */
export const TTL_S = { firmware: 3600, overview: 5 } as const;

export interface Cache {
  /** The cached value of `key`, else what `load` answers, which is then cached for `ttl_s` seconds. */
  read<Value>(
    key: string,
    shape: z.ZodType<Value>,
    ttl_s: number,
    load: () => Promise<Value>,
  ): Promise<Value>;
  /** Forgets keys whose source has changed. */
  forget(...keys: string[]): Promise<void>;
  /** Throws where the cache does not answer. */
  ping(): Promise<void>;
}

export function openCache(address: CacheAddress): Cache {
  const redis = new Redis({
    url: address.UPSTASH_REDIS_REST_URL,
    token: address.UPSTASH_REDIS_REST_TOKEN,
    automaticDeserialization: false,
    enableTelemetry: false,
    retry: false,
    signal: () => AbortSignal.timeout(PATIENCE_MS),
  });
  return {
    async read(key, shape, ttl_s, load) {
      const cached = await attempt(() => redis.get<string>(key));
      const known = cached == null ? undefined : parse(shape, cached);
      if (known !== undefined) return known;
      const value = await load();
      await attempt(() => redis.set(key, JSON.stringify(value), { ex: ttl_s }));
      return value;
    },
    async forget(...keys) {
      await attempt(() => redis.del(...keys));
    },
    async ping() {
      await redis.ping();
    },
  };
}

async function attempt<Value>(ask: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await ask();
  } catch (error) {
    console.warn(JSON.stringify({ level: 'warn', part: 'cache', msg: String(error) }));
    return undefined;
  }
}

function parse<Value>(shape: z.ZodType<Value>, text: string): Value | undefined {
  try {
    return shape.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
