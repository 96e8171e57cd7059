/**
 * Update metadata: The Update Framework 1.0, Ed25519 only. Files are written as
 * `{"signatures":[…],"signed":<canonical bytes>}`, so that even a microcontroller can check a signature over the
 * raw slice without a canonical JSON library; any conforming client reads them.
 */
import { canonicalize } from '@tufjs/canonical-json';
import { z } from 'zod';

export const SPEC_VERSION = '1.0.31';

/** No role may say more, so that clients take it (tuf-js: 5 MB) and an object can keep it (2 MB a value). */
export const MAX_METADATA_BYTES = 1_500_000;
/** What its signatures may take beside. */
export const MAX_ENVELOPE_BYTES = MAX_METADATA_BYTES + 100_000;

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));
const keyId = hex(32);

export const publicKey = z.object({
  keytype: z.literal('ed25519'),
  scheme: z.literal('ed25519'),
  keyval: z.object({ public: hex(32) }),
});
export type PublicKey = z.infer<typeof publicKey>;

const keys = z.record(keyId, publicKey);
const roleKeys = z.object({ keyids: z.array(keyId).min(1), threshold: z.int().min(1) });
export type RoleKeys = z.infer<typeof roleKeys>;

const common = {
  spec_version: z.string().regex(/^1\.0(\.\d+)?$/),
  version: z.int().min(1),
  expires: z.iso.datetime(),
};

export const root = z.object({
  _type: z.literal('root'),
  ...common,
  consistent_snapshot: z.literal(true),
  keys,
  roles: z.object({ root: roleKeys, targets: roleKeys, snapshot: roleKeys, timestamp: roleKeys }),
});
export type Root = z.infer<typeof root>;

/** What a target says of itself beyond length and hash. A device refuses a counter below the highest floor it saw. */
export const targetCustom = z.object({
  version: z.string(),
  kind: z.string(),
  /** The app's name; absent for firmware. */
  name: z.string().optional(),
  /** Hardware models it is for. */
  hw: z.array(z.string()),
  /** Grows with every publication in its role: a deliberate downgrade is a new one. */
  releaseCounter: z.int().min(1),
  rollbackFloor: z.int().min(0),
  minVersion: z.string().nullable(),
  /** `sha256:…` of the advisory that says what it mends. */
  advisory: z.string().nullable(),
});
export type TargetCustom = z.infer<typeof targetCustom>;

export const target = z.object({
  length: z.int().min(0),
  hashes: z.object({ sha256: hex(32) }),
  custom: targetCustom.optional(),
});
export type Target = z.infer<typeof target>;

const delegatedRole = roleKeys.extend({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)
    .refine((name) => !['root', 'targets', 'snapshot', 'timestamp'].includes(name)),
  paths: z.array(z.string()).min(1),
  terminating: z.boolean(),
});
export type DelegatedRole = z.infer<typeof delegatedRole>;

export const targets = z.object({
  _type: z.literal('targets'),
  ...common,
  targets: z.record(z.string(), target),
  delegations: z.object({ keys, roles: z.array(delegatedRole) }).optional(),
});
export type Targets = z.infer<typeof targets>;

const metaFile = z.object({ version: z.int().min(1) });
export const snapshot = z.object({
  _type: z.literal('snapshot'),
  ...common,
  meta: z.record(z.string(), metaFile),
});
export type Snapshot = z.infer<typeof snapshot>;

export const timestamp = z.object({
  _type: z.literal('timestamp'),
  ...common,
  meta: z.object({ 'snapshot.json': metaFile }),
});
export type Timestamp = z.infer<typeof timestamp>;

export const signature = z.object({ keyid: keyId, sig: hex(64) });
export type Signature = z.infer<typeof signature>;

const envelopeSchema = z.object({
  signatures: z
    .array(signature)
    .max(32)
    .refine((all) => new Set(all.map(({ keyid }) => keyid)).size === all.length, 'a key has signed twice'),
  signed: z.unknown(),
});

/** The bytes that are signed (OLPC canonical JSON, as TUF §4.2.1 recommends). */
export function canonicalBytes(value: object): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(canonicalize(value)));
}

/** A key's id: the SHA-256 of its canonical form (TUF §4.2), hex. */
export async function keyIdOf(key: PublicKey): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', canonicalBytes(key))));
}

/** The file that holds these signed bytes. The bytes stand in it unchanged. */
export function envelope(signed: Uint8Array, signatures: readonly Signature[]): Uint8Array<ArrayBuffer> {
  const head = `{"signatures":${JSON.stringify(signatures)},"signed":`;
  return new Uint8Array(new TextEncoder().encode(`${head}${new TextDecoder().decode(signed)}}`));
}

/** A file taken apart: what it says, by its schema, and the bytes its signatures must cover. Throws where it is none. */
export function openEnvelope<Signed extends object>(
  file: Uint8Array,
  schema: z.ZodType<Signed>,
): { signed: Signed; bytes: Uint8Array<ArrayBuffer>; signatures: Signature[] } {
  const parsed = envelopeSchema.parse(JSON.parse(new TextDecoder().decode(file)));
  // Canonical bytes of everything that was said: a field our schema does not know is signed too.
  const said = z.record(z.string(), z.unknown()).parse(parsed.signed);
  return { signed: schema.parse(said), bytes: canonicalBytes(said), signatures: parsed.signatures };
}

/** Those signatures of these bytes that are by a role's keys: one of each key, since clients take no file with two. */
export async function goodSignatures(
  bytes: Uint8Array<ArrayBuffer>,
  signatures: readonly Signature[],
  known: Record<string, PublicKey>,
  role: RoleKeys,
): Promise<Signature[]> {
  const good = new Map<string, Signature>();
  for (const { keyid, sig } of signatures) {
    const key = role.keyids.includes(keyid) ? known[keyid] : undefined;
    if (key !== undefined && (await verify(key, fromHex(sig), bytes))) good.set(keyid, { keyid, sig });
  }
  return [...good.values()];
}

/** Whether enough of a role's keys have signed. */
export async function isSigned(
  bytes: Uint8Array<ArrayBuffer>,
  signatures: readonly Signature[],
  known: Record<string, PublicKey>,
  role: RoleKeys,
): Promise<boolean> {
  return (await goodSignatures(bytes, signatures, known, role)).length >= role.threshold;
}

/** The first delegated role that is trusted with a target path; `*` in a pattern does not cross a `/` (TUF §4.5). */
export function roleForPath(top: Targets, path: string): DelegatedRole | undefined {
  return top.delegations?.roles.find((role) => role.paths.some((pattern) => matches(pattern, path)));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

async function verify(key: PublicKey, sig: Uint8Array<ArrayBuffer>, bytes: Uint8Array<ArrayBuffer>) {
  const imported = await crypto.subtle.importKey('raw', fromHex(key.keyval.public), 'Ed25519', false, [
    'verify',
  ]);
  return crypto.subtle.verify('Ed25519', imported, sig, bytes);
}

function matches(pattern: string, path: string): boolean {
  const [patterns, parts] = [pattern.split('/'), path.split('/')];
  return (
    patterns.length === parts.length &&
    patterns.every((glob, index) => {
      const source = glob
        .replace(/[.+^${}()|[\]\\]/g, '\\$&')
        .replaceAll('*', '.*')
        .replaceAll('?', '.');
      return new RegExp(`^${source}$`).test(parts[index] ?? '');
    })
  );
}
