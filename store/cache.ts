/**
 * The cache (Upstash Redis over REST). It only ever saves time: when it is slow or down, reads go to the source and
 * nothing fails. A value is amended or forgotten when its source changes, and dies by itself after its time to live.
 * Whoever changes a source must see to it that `amend` or `forget` succeeds in the end: see
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
  /**
   * Writes changed fields of objects through, where they are held; those that are not are forgotten, as by `forget`.
   * False where the cache did not take it. One command.
   */
  amend(entries: readonly (readonly [key: string, changed: object])[]): Promise<boolean>;
  /** Forgets keys whose source has changed; false where the cache did not take it. One command. */
  forget(keys: readonly string[]): Promise<boolean>;
  /** Throws where the cache does not answer. */
  ping(): Promise<void>;
}

/** A value with more changes behind it than this many bytes is rather loaded anew. */
const MOST_BYTES = 65_536;
/**
 * Appends the change ARGV[i + 1] to every KEYS[i]. Where nothing is held, somebody may just have loaded the value from
 * before the change.
 */
const AMEND = `for i, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  if held and held ~= '${FORGOTTEN}' and #held < ${MOST_BYTES} then redis.call('APPEND', key, ARGV[i + 1])
  else redis.call('SET', key, '${FORGOTTEN}', 'EX', ARGV[1]) end
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
    amend: (entries) =>
      run(
        AMEND,
        entries.map(([key]) => key),
        [String(FORGOTTEN_S), ...entries.map(([, changed]) => `\n${JSON.stringify(changed)}`)],
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

/** A line of JSON, and one for each change since, the latest last. JSON on the wire has no line breaks. */
function parse<Value>(shape: z.ZodType<Value>, text: string): Value | undefined {
  try {
    const [value, ...changes]: unknown[] = text.split('\n').map((line) => JSON.parse(line));
    return shape.safeParse(changes.length === 0 ? value : Object.assign({}, value, ...changes)).data;
  } catch {
    return undefined;
  }
}
