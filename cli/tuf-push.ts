/** Handing offline-signed metadata to Skylark, and reading what is published there. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  openEnvelope,
  snapshot,
  type Targets,
  targets as targetsSchema,
  timestamp,
} from '../protocol/tuf.ts';
import { type ApiClient, ApiError, CommandFailed } from './api-client.ts';

const REQUEST_MS = 30_000;

/** A role's metadata in the view that clients have now; `undefined` where it has published nothing. */
export async function readPublished(url: string, role: string): Promise<Targets | undefined> {
  const stamp = await read(url, 'timestamp.json');
  if (stamp === undefined) return undefined;
  const { version } = openEnvelope(stamp, timestamp).signed.meta['snapshot.json'];
  const view = await read(url, `${version}.snapshot.json`);
  if (view === undefined) throw new CommandFailed(`${url} has no snapshot ${version}`);
  const meta = openEnvelope(view, snapshot).signed.meta[`${role}.json`];
  if (meta === undefined) return undefined;
  const file = await read(url, `${meta.version}.${role}.json`);
  return file === undefined ? undefined : openEnvelope(file, targetsSchema).signed;
}

/**
 * Puts every metadata file of a directory that is not out yet; answers those that were taken. Files of one role go
 * in the order of their versions; between roles, whichever is refused for now waits until others were taken.
 */
export async function pushMetadata(api: ApiClient, url: string, directory: string): Promise<string[]> {
  const waiting = await missing(url, directory);
  const taken: string[] = [];
  let refusal: ApiError | undefined;
  for (let progress = true; progress; ) {
    progress = false;
    for (const [role, names] of waiting) {
      const [name] = names;
      if (name === undefined) continue;
      try {
        await api.putBytes(`/tuf/${name}`, new Uint8Array(readFileSync(join(directory, name))));
      } catch (error) {
        if (!(error instanceof ApiError) || error.status === 401 || error.status === 403) throw error;
        refusal = error;
        continue;
      }
      waiting.set(role, names.slice(1));
      taken.push(name);
      progress = true;
    }
  }
  const left = [...waiting.values()].flat();
  if (left.length > 0) throw new CommandFailed(`not taken: ${left.join(', ')}. ${refusal?.message ?? ''}`);
  return taken;
}

/** Names of files that are not out yet, by role, each in the order of versions. */
async function missing(url: string, directory: string): Promise<Map<string, string[]>> {
  const found = readdirSync(directory).flatMap((name) => {
    const match = /^(\d+)\.(.+)\.json$/.exec(name);
    return match === null ? [] : [{ name, version: Number(match[1]), role: match[2] ?? '' }];
  });
  const lacking = [];
  for (const file of found) {
    const isNewest = found.every(({ role, version }) => role !== file.role || version <= file.version);
    if ((await read(url, file.name)) === undefined || (isNewest && !(await isSeen(url, file))))
      lacking.push(file);
  }
  lacking.sort((a, b) => a.version - b.version);
  return new Map(
    [...Map.groupBy(lacking, ({ role }) => role)].map(([role, files]) => [
      role,
      files.map(({ name }) => name),
    ]),
  );
}

/** Whether clients see a file that Skylark has: a crash may have come between. A root is seen as soon as it is there. */
async function isSeen(url: string, { role, version }: { role: string; version: number }): Promise<boolean> {
  return role === 'root' || ((await readPublished(url, role))?.version ?? 0) >= version;
}

async function read(url: string, name: string): Promise<Uint8Array | undefined> {
  const response = await fetch(`${url}/tuf/${name}`, { signal: AbortSignal.timeout(REQUEST_MS) });
  if (response.status === 404) return undefined;
  if (!response.ok) throw new CommandFailed(`${url}/tuf/${name} was answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
