/**
 * Signing and publishing firmware. The release key is used here and goes nowhere, and it signs nothing that a server
 * could have made up: only what it has signed before, and this one release more.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { type Firmware, firmware } from '../protocol/api.ts';
import { targetPath } from '../protocol/target-path.ts';
import {
  canonicalBytes,
  isSigned,
  roleForPath,
  SPEC_VERSION,
  type Target,
  type Targets,
  targets as targetsSchema,
} from '../protocol/tuf.ts';
import { type ApiClient, ApiError, CommandFailed } from './api-client.ts';
import type { SigningKey } from './signing-key.ts';
import { readPublished } from './tuf-push.ts';

/** Everybody who publishes at once signs one after the other. */
const TRIES = 30;
const LONGEST_WAIT_MS = 2000;
/** No release is good for longer than a year, and a day for clocks that differ. */
const LONGEST_MS = 366 * 86_400_000;

/**
 * Signs the release and publishes it; again where it has another advisory since. Throws where the bytes to sign say
 * anything else.
 */
export async function publish(api: ApiClient, row: Firmware, key: SigningKey): Promise<Firmware> {
  if (row.state === 'published' && (await isOut(api.url, row))) return row;
  for (let attempt = 1; ; attempt += 1) {
    const bytes = await api.postForBytes(`/firmware/${row.id}/publish`);
    const before = await signedBefore(api.url, row, key);
    const asked = read(bytes);
    if (asked.version === (before?.version ?? 0) + 1) {
      if (!isNext(bytes, asked, before, row)) throw madeUp(row);
      try {
        return await api.post(`/firmware/${row.id}/publish`, firmware, { signatures: [key.sign(bytes)] });
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 409) || attempt === TRIES) throw error;
      }
    } else if (attempt === TRIES) throw madeUp(row);
    // Another release is being published: there are new bytes to sign.
    await wait(Math.random() * Math.min(LONGEST_WAIT_MS, 50 * 2 ** attempt));
  }
}

const madeUp = (row: Firmware) =>
  new CommandFailed(
    `the server asked to sign something else than the release of ${targetPath(row)}: nothing was signed`,
  );

function read(bytes: Uint8Array): Targets {
  const metadata = targetsSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
  if (!metadata.success)
    throw new CommandFailed('the server asked to sign something that is no update metadata');
  return metadata.data;
}

/** The role that speaks for this firmware, and what it has published; `undefined` where it has published nothing. */
async function speaksFor(url: string, row: Firmware) {
  const top = await readPublished(url, 'targets');
  const role = top && roleForPath(top.signed, targetPath(row));
  return { role, found: role && (await readPublished(url, role.name)) };
}

/** Whether the metadata say all of published firmware: an advisory may have come later. */
async function isOut(url: string, row: Firmware): Promise<boolean> {
  const { found } = await speaksFor(url, row);
  return found?.signed.targets[targetPath(row)]?.custom?.advisory === row.advisory;
}

/** What the role that speaks for this firmware has published and this key has signed. */
async function signedBefore(url: string, row: Firmware, key: SigningKey): Promise<Targets | undefined> {
  const { role, found } = await speaksFor(url, row);
  if (found === undefined) return undefined;
  const mine = { keyids: [key.id], threshold: 1 };
  if (await isSigned(found.bytes, found.signatures, { [key.id]: key.public }, mine)) return found.signed;
  throw new CommandFailed(
    `what ${role?.name} has published is not signed by this key, so it signs nothing more: was the key replaced?`,
  );
}

/** Whether these bytes say what was said before, and this release, and nothing else. */
function isNext(bytes: Uint8Array, asked: Targets, before: Targets | undefined, row: Firmware): boolean {
  const left = Date.parse(asked.expires) - Date.now();
  const sha256 = row.checksum.slice('sha256:'.length);
  const there = before?.targets[targetPath(row)];
  const target: Target = {
    length: row.size_bytes,
    hashes: { sha256 },
    custom: {
      version: row.version,
      kind: row.kind,
      ...(row.name === null ? {} : { name: row.name }),
      hw: [row.model],
      releaseCounter:
        (there?.hashes.sha256 === sha256 ? there.custom?.releaseCounter : undefined) ?? asked.version,
      rollbackFloor: 0,
      minVersion: row.min_version,
      advisory: row.advisory,
    },
  };
  const next = canonicalBytes({
    _type: 'targets',
    spec_version: SPEC_VERSION,
    version: asked.version,
    expires: asked.expires,
    targets: { ...before?.targets, [targetPath(row)]: target },
  } satisfies Targets);
  return left > 0 && left < LONGEST_MS && Buffer.from(next).equals(bytes);
}
