/** Signing keys and the offline-signed half of the update metadata: root and targets. None of these keys leave here. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  canonicalBytes,
  envelope,
  keyIdOf,
  type PublicKey,
  type Root,
  type Signature,
  SPEC_VERSION,
  type Targets,
} from '../protocol/tuf.ts';

const DAY_MS = 86_400_000;
const ROOT_DAYS = 730;
const TARGETS_DAYS = 365;

/** The roles' keys, one file each. `online` goes to the Worker as a secret, `release` to CI, the others to a safe. */
const KEY_NAMES = ['root', 'targets', 'release', 'online'] as const;
export type KeyName = (typeof KEY_NAMES)[number];

export interface SigningKey {
  id: string;
  public: PublicKey;
  sign(bytes: Uint8Array): Signature;
}

export interface Repository {
  /** Where each key lies: PKCS#8 PEM, readable by its owner only. */
  keyFiles: Record<KeyName, string>;
  rootFile: string;
  targetsFile: string;
}

/** Reads an Ed25519 private key, PKCS#8 PEM. Throws where the text holds none. */
export async function openSigningKey(pem: string): Promise<SigningKey> {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('the key is not an Ed25519 private key');
  const own: PublicKey = { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: publicHex(key) } };
  const id = await keyIdOf(own);
  return { id, public: own, sign: (bytes) => ({ keyid: id, sig: sign(null, bytes, key).toString('hex') }) };
}

/** Makes a new Ed25519 key file with mode 0600. Throws where the file exists. */
export function generateKey(file: string): void {
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
}

/**
 * Makes whatever is missing in `directory`: the four keys, `1.root.json`, and `1.targets.json`, which trusts the
 * release key with every model (`*\/*`). What is there stays as it is.
 */
export async function initRepository(directory: string): Promise<Repository> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = (name: string) => join(directory, name);
  const keyFiles = Object.fromEntries(KEY_NAMES.map((name) => [name, file(`${name}.pem`)])) as Record<
    KeyName,
    string
  >;
  for (const path of Object.values(keyFiles)) if (!existsSync(path)) generateKey(path);
  const key = (name: KeyName) => openSigningKey(readFileSync(keyFiles[name], 'utf8'));
  const [root, targets, release, online] = await Promise.all([
    key('root'),
    key('targets'),
    key('release'),
    key('online'),
  ]);
  const [rootFile, targetsFile] = [file('1.root.json'), file('1.targets.json')];
  if (!existsSync(rootFile)) writeFileSync(rootFile, signed(root, rootMetadata(root, targets, online)));
  if (!existsSync(targetsFile)) writeFileSync(targetsFile, signed(targets, targetsMetadata(release)));
  return { keyFiles, rootFile, targetsFile };
}

function rootMetadata(root: SigningKey, targets: SigningKey, online: SigningKey): Root {
  const role = (key: SigningKey) => ({ keyids: [key.id], threshold: 1 });
  return {
    _type: 'root',
    spec_version: SPEC_VERSION,
    version: 1,
    expires: inDays(ROOT_DAYS),
    consistent_snapshot: true,
    keys: Object.fromEntries([root, targets, online].map((key) => [key.id, key.public])),
    roles: { root: role(root), targets: role(targets), snapshot: role(online), timestamp: role(online) },
  };
}

function targetsMetadata(release: SigningKey): Targets {
  return {
    _type: 'targets',
    spec_version: SPEC_VERSION,
    version: 1,
    expires: inDays(TARGETS_DAYS),
    targets: {},
    delegations: {
      keys: { [release.id]: release.public },
      roles: [{ name: 'release', keyids: [release.id], threshold: 1, paths: ['*/*'], terminating: true }],
    },
  };
}

function signed(key: SigningKey, metadata: object): Uint8Array {
  const bytes = canonicalBytes(metadata);
  return envelope(bytes, [key.sign(bytes)]);
}

/** An Ed25519 public key's last 32 bytes of SPKI are the key itself (RFC 8410 §4). */
function publicHex(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex');
}

/** TUF times have no fractions of seconds. */
const inDays = (days: number): string =>
  `${new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 19)}Z`;
