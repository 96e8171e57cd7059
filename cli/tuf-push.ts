/** Handing offline-signed metadata to Skylark, and reading what is published there. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import {
  openEnvelope,
  snapshot,
  type Targets,
  targets as targetsSchema,
  timestamp,
} from '../protocol/tuf.ts';
import { type ApiClient, ApiError, CommandFailed } from './api-client.ts';
import { noteOut } from './tuf-files.ts';

const REQUEST_MS = 30_000;
/** Releases may come between while keys are changed; but so often in a row it is something else. */
const TRIES = 3;

/** A role's metadata as it was published: nobody has looked at its signatures. */
export type PublishedRole = ReturnType<typeof openEnvelope<Targets>>;

/** A role's metadata in the view that clients have now; `undefined` where it has published nothing. */
export async function readPublished(url: string, role: string): Promise<PublishedRole | undefined> {
  const stamp = await read(url, 'timestamp.json');
  if (stamp === undefined) return undefined;
  const { version } = openEnvelope(stamp, timestamp).signed.meta['snapshot.json'];
  const view = await read(url, `${version}.snapshot.json`);
  if (view === undefined) throw new CommandFailed(`${url} has no snapshot ${version}`);
  const meta = openEnvelope(view, snapshot).signed.meta[`${role}.json`];
  if (meta === undefined) return undefined;
  const file = await read(url, `${meta.version}.${role}.json`);
  return file === undefined ? undefined : openEnvelope(file, targetsSchema);
}

/** Makes and signs anew what stands in the way of the files that are left; answers whether there was anything. */
export type Renew = (left: readonly string[]) => Promise<boolean>;

/**
 * Puts every metadata file of a directory that is not out yet; answers those that were taken. What was published since
 * they were signed may be in their way: then `renew` is asked, and all of it is tried again.
 */
export async function pushMetadata(
  api: ApiClient,
  url: string,
  directory: string,
  renew: Renew = async () => false,
): Promise<string[]> {
  const taken: string[] = [];
  for (let inVain = 0; ; ) {
    const { left, refusals, ...done } = await pushOnce(api, url, directory);
    taken.push(...done.taken);
    if (left.length === 0) {
      noteOut(directory);
      return taken;
    }
    inVain = done.taken.length === 0 ? inVain + 1 : 0;
    const isOutdated = refusals.some(({ status }) => status === 409);
    if (!isOutdated || inVain === TRIES || !(await renew(left)))
      throw new CommandFailed(`not taken: ${left.join(', ')}. ${refusals[0]?.message ?? ''}`);
  }
}

/** Between roles, whichever is refused for now waits until others were taken. */
async function pushOnce(api: ApiClient, url: string, directory: string) {
  const waiting = await missing(url, directory);
  const taken: string[] = [];
  let refusals: ApiError[] = [];
  for (let progress = true; progress; ) {
    progress = false;
    refusals = [];
    for (const [role, names] of waiting) {
      const tried = await pushFirst(api, directory, role, names);
      refusals.push(...tried.refusals);
      if (tried.taken === undefined) continue;
      waiting.set(role, names.slice(names.indexOf(tried.taken) + 1));
      taken.push(tried.taken);
      progress = true;
    }
  }
  return { taken, left: [...waiting.values()].flat(), refusals };
}

/**
 * Puts the first of a role's files that is taken. Root and targets go step by step; any other role's file says all of
 * it, so that one may be taken before those in front of it are, and in their place.
 */
async function pushFirst(api: ApiClient, directory: string, role: string, names: readonly string[]) {
  const refusals: ApiError[] = [];
  for (const name of ['root', 'targets'].includes(role) ? names.slice(0, 1) : names) {
    try {
      await api.putBytes(`/tuf/${name}`, new Uint8Array(readFileSync(join(directory, name))));
      return { taken: name, refusals };
    } catch (error) {
      if (!(error instanceof ApiError) || error.status === 401 || error.status === 403) throw error;
      refusals.push(error);
    }
  }
  return { taken: undefined, refusals };
}

/** Names of files that are not out yet, by role, each in the order of versions. */
async function missing(url: string, directory: string): Promise<Map<string, string[]>> {
  const found = readdirSync(directory).flatMap((name) => {
    const match = /^(\d+)\.(.+)\.json$/.exec(name);
    return match === null ? [] : [{ name, version: Number(match[1]), role: match[2] ?? '' }];
  });
  found.sort((a, b) => a.version - b.version);
  const lacking = new Map<string, string[]>();
  for (const [role, files] of Map.groupBy(found, (file) => file.role)) {
    // Stored is not enough, but for a root: a crash may have come before the view that clients follow.
    const seen = role === 'root' ? undefined : ((await readPublished(url, role))?.signed.version ?? 0);
    for (const { name, version } of files) {
      const there = ['root', 'targets'].includes(role) ? await read(url, name) : undefined;
      if (there !== undefined) mustBeSame(directory, name, there);
      if (seen === undefined ? there !== undefined : version <= seen) continue;
      lacking.set(role, [...(lacking.get(role) ?? []), name]);
    }
  }
  return lacking;
}

/** Throws where somebody else has put another file of this name: what comes after it here leads nowhere. */
function mustBeSame(directory: string, name: string, there: Uint8Array): void {
  const schema = z.record(z.string(), z.unknown());
  const [mine, theirs] = [readFileSync(join(directory, name)), there].map(
    (file) => openEnvelope(file, schema).bytes,
  );
  if (mine === undefined || theirs === undefined || Buffer.from(mine).equals(theirs)) return;
  throw new CommandFailed(
    `${name} is out already, with other contents than in ${directory}: go on from the files of whoever has put it`,
  );
}

async function read(url: string, name: string): Promise<Uint8Array | undefined> {
  const response = await fetch(`${url}/tuf/${name}`, { signal: AbortSignal.timeout(REQUEST_MS) });
  if (response.status === 404) return undefined;
  if (!response.ok) throw new CommandFailed(`${url}/tuf/${name} was answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
