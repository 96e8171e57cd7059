/** The offline-signed half of the update metadata as files: `{n}.root.json`, `{n}.targets.json`, `{n}.{role}.json`. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import {
  canonicalBytes,
  envelope,
  goodSignatures,
  openEnvelope,
  type PublicKey,
  type RoleKeys,
  root as rootSchema,
  type Signature,
  targets as targetsSchema,
} from '../protocol/tuf.ts';
import { CommandFailed } from './api-client.ts';
import type { SigningKey } from './signing-key.ts';

const DAY_MS = 86_400_000;

/** TUF times have no fractions of seconds. */
export const inDays = (days: number): string =>
  `${new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 19)}Z`;

export const fileOf = (directory: string, version: number, role: string): string =>
  join(directory, `${version}.${role}.json`);

/** Writes metadata with signatures by these keys. Throws where the file is there already. */
export function writeSigned(file: string, metadata: object, keys: Iterable<SigningKey>): string {
  const bytes = canonicalBytes(metadata);
  // A key that holds two offices signs once.
  const signers = new Map([...keys].map((key) => [key.id, key]));
  if (existsSync(file)) throw new CommandFailed(`${file} exists already: it is not overwritten`);
  writeFileSync(
    file,
    envelope(
      bytes,
      [...signers.values()].map((key) => key.sign(bytes)),
    ),
  );
  return file;
}

/** The newest version of a role in a directory; `undefined` where there is none. */
export function latest<Signed extends object>(
  directory: string,
  role: string,
  schema: z.ZodType<Signed>,
): { file: string; signed: Signed } | undefined {
  const [version] = versionsOf(directory, role).slice(-1);
  if (version === undefined) return undefined;
  const file = fileOf(directory, version, role);
  return { file, signed: openEnvelope(readFileSync(file), schema).signed };
}

export const latestRoot = (directory: string) => latest(directory, 'root', rootSchema);
export const latestTargets = (directory: string, role = 'targets') => latest(directory, role, targetsSchema);

/** The versions of a role that are there, in their order. */
export function versionsOf(directory: string, role: string): number[] {
  return readdirSync(directory)
    .flatMap((name) => {
      const match = /^(\d+)\.(.+)\.json$/.exec(name);
      return match?.[2] === role ? [Number(match[1])] : [];
    })
    .sort((a, b) => a - b);
}

/** What a directory knows of where it was pushed to; beside the metadata, and no part of it. */
const outSchema = z.object({ targets: z.int() });
const outFile = (directory: string): string => join(directory, 'pushed.json');

/** All targets of a directory are out: what only older ones trusted is trusted no more. */
export function noteOut(directory: string): void {
  const newest = versionsOf(directory, 'targets').at(-1);
  if (newest !== undefined && newest > outTargets(directory))
    writeFileSync(outFile(directory), `${JSON.stringify({ targets: newest })}\n`);
}

/** The newest targets that are known to be out; 0 where none were pushed from here. */
export const outTargets = (directory: string): number =>
  existsSync(outFile(directory))
    ? outSchema.parse(JSON.parse(readFileSync(outFile(directory), 'utf8'))).targets
    : 0;

/** Adds signatures to a metadata file; answers those it carries now. Those of the same keys are replaced. */
export function addSignatures(file: string, keys: Iterable<SigningKey>): Signature[] {
  const { signed: _, bytes, signatures } = openEnvelope(readFileSync(file), targetsSchema.or(rootSchema));
  const all = new Map(signatures.map((signature) => [signature.keyid, signature]));
  for (const key of keys) all.set(key.id, key.sign(bytes));
  writeFileSync(file, envelope(bytes, [...all.values()]));
  return [...all.values()];
}

/** How many signatures of a role a file still lacks. */
export async function lacking(
  file: string,
  known: Record<string, PublicKey>,
  role: RoleKeys,
): Promise<number> {
  const { bytes, signatures } = openEnvelope(readFileSync(file), targetsSchema.or(rootSchema));
  return Math.max(0, role.threshold - (await goodSignatures(bytes, signatures, known, role)).length);
}
