/**
 * The cache (Upstash Redis over REST). It only ever saves time: when it is slow or down, reads go to the source and
 * nothing fails. A value is written through or forgotten when its source changes, and dies by itself after its time
 * to live. Whoever changes a source must see to it that `write` or `forget` succeeds in the end: see
 * `durable-objects/coordinator/stale-keys.ts`.
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
/** After a failure, reads leave the cache alone for this long: a cache that is down must not cost 200 ms each. */
const SPARE_MS = 2000;
/**
 * A forgotten key is not filled or written again for this many seconds: whoever loaded its value just before the change must
 * not store it after. Far longer than anybody takes.
 */
export const FORGOTTEN_S = 15;
const FORGOTTEN = '-';

/** Times to live, in seconds. */
export const TTL_S = {
  device: 300,
  config: 3600,
  campaign: 600,
  errors: 5,
  firmware: 3600,
  overview: 5,
} as const;

/** The names of cached things. */
export const cacheKey = {
  device: (serialNo: string): string => `device:${serialNo}`,
  config: (deviceId: string): string => `config:${deviceId}`,
  campaign: (id: string): string => `campaign:${id}`,
  errors: (campaignId: string): string => `errors:${campaignId}`,
  firmware: (id: string): string => `firmware:${id}`,
} as const;

export interface Cache {
  /**
   * The cached value of `key`, else what `load` answers, which is then cached for `ttl_s` seconds, unless the key was
   * written or forgotten meanwhile. `undefined` is not cached.
   */
  read<Value>(
    key: string,
    shape: z.ZodType<Value>,
    ttl_s: number,
    load: () => Promise<Value>,
  ): Promise<Value>;
  /** Writes new values through; false where the cache did not take them. One command. */
  write(entries: readonly (readonly [key: string, value: unknown])[], ttl_s: number): Promise<boolean>;
  /** Forgets keys whose source has changed; false where the cache did not take it. One command. */
  forget(keys: readonly string[]): Promise<boolean>;
  /** Throws where the cache does not answer. */
  ping(): Promise<void>;
}

/** Sets every KEYS[i] to ARGV[i + 1] for ARGV[1] seconds, but for those forgotten lately: the value may be from before. */
const WRITE = `for i, key in ipairs(KEYS) do
  if redis.call('GET', key) ~= '${FORGOTTEN}' then redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1]) end
end
return #KEYS`;
const FORGET = `for _, key in ipairs(KEYS) do redis.call('SET', key, '${FORGOTTEN}', 'EX', ARGV[1]) end return #KEYS`;

let spareUntil = 0;

export function openCache(address: CacheAddress): Cache {
  const redis = new Redis({
    url: address.UPSTASH_REDIS_REST_URL,
    token: address.UPSTASH_REDIS_REST_TOKEN,
    automaticDeserialization: false,
    enableTelemetry: false,
    retry: false,
    signal: () => AbortSignal.timeout(PATIENCE_MS),
  });
  const run = async (script: string, keys: readonly string[], values: readonly string[]) =>
    keys.length === 0 || (await attempt(() => redis.eval(script, [...keys], [...values]))) !== undefined;
  return {
    async read(key, shape, ttl_s, load) {
      if (Date.now() < spareUntil) return load();
      const cached = await attempt(() => redis.get<string>(key));
      const known = cached == null ? undefined : parse(shape, cached);
      if (known !== undefined) return known;
      const value = await load();
      if (value !== undefined && cached === null) {
        await attempt(() => redis.set(key, JSON.stringify(value), { ex: ttl_s, nx: true }));
      }
      return value;
    },
    write: (entries, ttl_s) =>
      run(
        WRITE,
        entries.map(([key]) => key),
        [String(ttl_s), ...entries.map(([, value]) => JSON.stringify(value))],
      ),
    forget: (keys) => run(FORGET, keys, [String(FORGOTTEN_S)]),
    async ping() {
      await redis.ping();
    },
  };
}

async function attempt<Value>(ask: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await ask();
  } catch (error) {
    spareUntil = Date.now() + SPARE_MS;
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
