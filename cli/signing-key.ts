/** Ed25519 signing keys, PKCS#8 PEM, in files or in the environment. They never leave here. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { keyIdOf, type PublicKey, type Signature } from '../protocol/tuf.ts';
import { CommandFailed } from './api-client.ts';

export interface SigningKey {
  id: string;
  public: PublicKey;
  sign(bytes: Uint8Array): Signature;
}

/** Reads an Ed25519 private key, PKCS#8 PEM. Throws where the text holds none. */
export async function openSigningKey(pem: string): Promise<SigningKey> {
  const key = privateKeyIn(pem);
  if (key?.asymmetricKeyType !== 'ed25519')
    throw new CommandFailed(
      'this is no Ed25519 private key in PEM (PKCS#8), as "skylark keys generate" makes it',
    );
  const own: PublicKey = { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: publicHex(key) } };
  const id = await keyIdOf(own);
  return { id, public: own, sign: (bytes) => ({ keyid: id, sig: sign(null, bytes, key).toString('hex') }) };
}

function privateKeyIn(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

/** Makes a new Ed25519 key file with mode 0600. Throws where the file exists. */
export function generateKey(file: string): void {
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
}

/** A PEM as CI secrets have it, its line breaks perhaps written out, or the file that holds one. */
export function readPem(given: string): string {
  if (given.includes('-----BEGIN')) return given.replaceAll('\\n', '\n');
  if (!existsSync(given)) throw new CommandFailed(`there is no key file ${given}`);
  return readFileSync(given, 'utf8');
}

/** Every signing key in a directory's `*.pem`, and those given besides, by key ID. Other PEM files are passed over. */
export async function findKeys(
  directory: string,
  besides: readonly string[] = [],
): Promise<Map<string, SigningKey>> {
  const files = existsSync(directory) ? readdirSync(directory).filter((name) => name.endsWith('.pem')) : [];
  const found = new Map<string, SigningKey>();
  for (const name of files) {
    const key = await openSigningKey(readFileSync(join(directory, name), 'utf8')).catch(() => undefined);
    if (key !== undefined) found.set(key.id, key);
  }
  for (const given of besides) {
    const key = await openSigningKey(readPem(given));
    found.set(key.id, key);
  }
  return found;
}

/** An Ed25519 public key's last 32 bytes of SPKI are the key itself (RFC 8410 §4). */
function publicHex(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex');
}
