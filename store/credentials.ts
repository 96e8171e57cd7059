/** Passwords, API keys and other bearer secrets: how they are made, and what of them is kept. */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

/** scrypt with N = 2¹⁴, r = 16: about 50 ms of CPU, 32 MiB of memory, inside a Worker's limits. */
const COST = { N: 16_384, r: 16, p: 1, maxmem: 64 * 1024 * 1024 };
const KEY_BYTES = 32;

/** A password as it is stored: `scrypt$N$r$p$salt$key`, the last two in base64. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password, salt, COST);
  return ['scrypt', COST.N, COST.r, COST.p, salt.toString('base64'), key.toString('base64')].join('$');
}

/** Whether `password` is the one `stored` was made from. Takes as long for a wrong one. */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const [scheme, N, r, p, salt, key] = stored.split('$');
  if (scheme !== 'scrypt' || salt === undefined || key === undefined) {
    throw new Error('a stored password is not of the form scrypt$N$r$p$salt$key');
  }
  const expected = Buffer.from(key, 'base64');
  const cost = { N: Number(N), r: Number(r), p: Number(p), maxmem: COST.maxmem };
  return timingSafeEqual(await derive(password, Buffer.from(salt, 'base64'), cost), expected);
}

/** A new API key. `key` is shown once; `id` and `secretHash` are kept. */
export async function newApiKey(): Promise<{ key: string; id: string; secretHash: string }> {
  const id = randomBytes(6).toString('hex');
  const key = `sky_${id}_${newSecret()}`;
  return { key, id, secretHash: await digestSecret(key) };
}

/** The id inside an API key, or `undefined` where the text is none. */
export function apiKeyId(key: string): string | undefined {
  return /^sky_([0-9a-f]{12})_[A-Za-z0-9_-]{43}$/.exec(key)?.[1];
}

/** 256 random bits, base64url: session cookies, enrolment tokens, bridge credentials. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** SHA-256 of a random secret, hex. Enough for secrets of 256 random bits; passwords need `hashPassword`. */
export async function digestSecret(secret: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(secret));
  return Buffer.from(digest).toString('hex');
}

/** Compares two secrets without telling by its duration where they differ. */
export async function sameSecret(a: string, b: string): Promise<boolean> {
  const [left, right] = await Promise.all([digestSecret(a), digestSecret(b)]);
  return timingSafeEqual(Buffer.from(left), Buffer.from(right));
}

function derive(password: string, salt: Buffer, cost: typeof COST): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, KEY_BYTES, cost, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}
