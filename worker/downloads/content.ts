/**
 * A firmware's bytes: out of this data centre's cache where it has them, otherwise out of R2. Whoever calls has
 * checked the link's signature; the cache itself knows nothing of links, so all of them share one copy.
 */
import type { Env } from '../../durable-objects/env.ts';
import { digestBytes } from '../../durable-objects/releases/digest.ts';
import { type Part, readBytes } from '../../durable-objects/releases/read-bytes.ts';
import { findBytes, type Place } from '../../durable-objects/releases/stored-bytes.ts';
import { checkBytes } from '../../durable-objects/releases/upkeep.ts';
import { isPlainRange } from '../../protocol/byte-range.ts';
import { openDatabase } from '../../store/connection.ts';
import { isDamaged } from '../../store/firmware-upkeep.ts';
import { ProblemError } from '../problem.ts';

/** What may still be read of a firmware after it was deleted, by links made before. */
const KEPT_S = 3600;
/** The Cache API takes no more. */
const MAX_CACHED_BYTES = 512 * 1024 * 1024;

/** How many bytes there must be: of a copy that broke off, a cache may keep what it has. */
const WHOLE = 'Skylark-Whole-Bytes';

export interface Content {
  size: number;
  /** All of it or a part, once; `undefined` where it has gone in the meantime. */
  read(part?: Part): Promise<ReadableStream | undefined>;
  /** For whoever does not read. */
  close(): Promise<void>;
}

/**
 * Opens the bytes with this hash (lower-case hex); `undefined` where nobody has them. `range` is the header of who
 * asks, as far as it counts: the cache is asked once, for that and for the size. Throws a 503 where what is stored is known
 * to be damaged.
 */
export async function openContent(
  env: Env,
  sha256: string,
  range: string | undefined,
  later: (work: Promise<void>) => void,
): Promise<Content | undefined> {
  const cached = await openCached(env, sha256, range);
  if (cached !== undefined) return cached;
  const [place, damaged] = await Promise.all([
    findBytes(env.FIRMWARE, sha256),
    isDamaged(openDatabase(env), sha256),
  ]);
  // Its headers would say of other bytes that they are these.
  if (damaged)
    throw new ProblemError(
      503,
      'Firmware damaged',
      'The stored bytes are damaged: upload the same file again.',
    );
  if (place === undefined) return undefined;
  return {
    size: place.size,
    read: (part) => {
      if (place.size <= MAX_CACHED_BYTES) later(fill(env, sha256, place));
      return readBytes(env.FIRMWARE, place, part);
    },
    close: async () => undefined,
  };
}

/** On our own host, with no part of any link in it. */
const cacheKey = (env: Env, sha256: string): string => `${env.PUBLIC_URL}/download/${sha256}`;

async function openCached(env: Env, sha256: string, range: string | undefined): Promise<Content | undefined> {
  const headers = new Headers();
  // Of anything else the cache may think otherwise than RFC 9110.
  if (isPlainRange(range)) headers.set('Range', range);
  const found = await caches.default.match(new Request(cacheKey(env, sha256), { headers }));
  if (found === undefined) return undefined;
  const close = async () => void (await found.body?.cancel());
  const contentRange = found.headers.get('Content-Range');
  const length = found.status === 200 ? found.headers.get('Content-Length') : contentRange?.split('/')[1];
  const size = Number(length ?? Number.NaN);
  if (!Number.isSafeInteger(size) || (found.ok && length !== found.headers.get(WHOLE))) {
    await close();
    return undefined;
  }
  return {
    size,
    async read(part) {
      const wanted =
        part === undefined ? null : `bytes ${part.offset}-${part.offset + part.length - 1}/${size}`;
      if (found.body !== null && found.ok && contentRange === wanted) return found.body;
      await close();
      const place = await findBytes(env.FIRMWARE, sha256);
      return place && readBytes(env.FIRMWARE, place, part);
    },
    close,
  };
}

/** What this isolate is putting into the cache right now: a fleet asks for the same firmware at once. */
const filling = new Set<string>();

/**
 * Puts the whole into the cache by a read of its own: a copy branched off from a slow device's download would
 * wait in memory. Damaged bytes never come there, where they would outlive their mending.
 */
async function fill(env: Env, sha256: string, place: Place): Promise<void> {
  if (filling.has(sha256)) return;
  filling.add(sha256);
  try {
    if ((await digestBytes(env.FIRMWARE, place)) !== sha256) {
      await checkBytes(env, openDatabase(env), sha256);
      return;
    }
    const body = await readBytes(env.FIRMWARE, place);
    if (body === undefined) return;
    const size = String(place.size);
    const headers = { 'Content-Length': size, [WHOLE]: size, 'Cache-Control': `public, max-age=${KEPT_S}` };
    await caches.default.put(cacheKey(env, sha256), new Response(body, { headers }));
  } catch (error) {
    const msg = `firmware ${sha256} was not cached: ${String(error)}`;
    console.warn(JSON.stringify({ level: 'warn', part: 'worker', msg }));
  } finally {
    filling.delete(sha256);
  }
}
