/**
 * Download links signed by ourselves: an HMAC-SHA-256 binds content, subject, expiry and key. Unlike a bucket's
 * presigned URL such a link dies with its device's certificate, and all of them can share one cached copy.
 */
import { z } from 'zod';

const SHA256 = /^[0-9a-f]{64}$/;

/** `{"<kid>":"<base64 of at least 16 bytes>"}`: the first key signs, all of them verify. */
const keyRing = z
  .string()
  .transform((text): unknown => JSON.parse(text))
  .pipe(z.record(z.string().min(1), z.base64().min(22)))
  .refine(
    (ring) => Object.keys(ring).length < 2 || Object.keys(ring).every((kid) => /\D/.test(kid)),
    // Names that are whole numbers have an order of their own, and the first is not the one written first.
    'DOWNLOAD_KEYS: each of several keys needs a name with a letter in it, such as "k1"',
  );

/** Whom a link is for: a device by its serial number, or whoever signed in asked for it. */
export type LinkSubject = { serial_no: string } | { actor: string };

export type Verified =
  | { ok: true; sha256: string; subject: LinkSubject }
  | { ok: false; error: 'malformed' | 'unknown_key' | 'bad_signature' | 'expired' };

export type DownloadRequest = LinkSubject & {
  /** Lower-case hex. */
  sha256: string;
  /** How the file is called when saved; not part of what is signed. */
  filename: string;
  /** Unix seconds. */
  expires: number;
};

/** Path and query of a link. Throws where `keys` holds none. */
export async function signDownload(keys: string, request: DownloadRequest): Promise<string> {
  const [first] = await openKeys(keys);
  if (first === undefined) throw new Error('DOWNLOAD_KEYS holds no key');
  const [kid, key] = first;
  const query = new URLSearchParams();
  if ('serial_no' in request) query.set('device', request.serial_no);
  else query.set('sub', request.actor);
  query.set('exp', String(request.expires));
  query.set('kid', kid);
  const mac = await crypto.subtle.sign('HMAC', key, message(request.sha256, query));
  query.set('sig', toBase64Url(new Uint8Array(mac)));
  return `/download/${request.sha256}/${encodeURIComponent(request.filename)}?${query}`;
}

/** Whether a link is one of ours and still good at `now`. The signature is checked before anything else counts. */
export async function verifyDownload(keys: string, url: URL, now: Date): Promise<Verified> {
  const [, , sha256 = ''] = url.pathname.split('/');
  const query = url.searchParams;
  const [kid, signature, expires] = [query.get('kid'), query.get('sig'), Number(query.get('exp'))];
  const subject = subjectOf(query);
  const mac = signature === null ? undefined : fromBase64Url(signature);
  if (!SHA256.test(sha256) || kid === null || mac === undefined || subject === undefined)
    return bad('malformed');
  if (!Number.isSafeInteger(expires)) return bad('malformed');
  const key = (await openKeys(keys)).get(kid);
  if (key === undefined) return bad('unknown_key');
  if (!(await crypto.subtle.verify('HMAC', key, mac, message(sha256, query)))) return bad('bad_signature');
  if (expires * 1000 <= now.getTime()) return bad('expired');
  return { ok: true, sha256, subject };
}

const bad = (error: (Verified & { ok: false })['error']): Verified => ({ ok: false, error });

function subjectOf(query: URLSearchParams): LinkSubject | undefined {
  const [serial, actor] = [query.get('device'), query.get('sub')];
  if (serial !== null && actor === null) return { serial_no: serial };
  if (actor !== null && serial === null) return { actor };
  return undefined;
}

/** What is signed. `device` and `sub` are told apart, so neither can pass for the other. */
function message(sha256: string, query: URLSearchParams): Uint8Array<ArrayBuffer> {
  const subject = JSON.stringify({ device: query.get('device'), sub: query.get('sub') });
  const text = ['v1', sha256, subject, query.get('exp'), query.get('kid')].join('\n');
  return new Uint8Array(new TextEncoder().encode(text));
}

/** The last ring that was opened: it is the same for every request, and some devices ask by small ranges. */
let opened: { text: string; keys: Map<string, HmacKey> } | undefined;

async function openKeys(text: string): Promise<Map<string, HmacKey>> {
  if (opened?.text === text) return opened.keys;
  const ring = Object.entries(keyRing.parse(text));
  const keys = new Map<string, HmacKey>();
  for (const [kid, secret] of ring) keys.set(kid, await importKey(secret));
  opened = { text, keys };
  return keys;
}

type HmacKey = Awaited<ReturnType<typeof importKey>>;

function importKey(secret: string) {
  const bytes = Uint8Array.from(atob(secret), (char) => char.charCodeAt(0));
  return crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
}

function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}

/** 32 bytes; `undefined` for anything else. The last two bits of the last character are not used, and must be 0. */
function fromBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(text)) return undefined;
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));
}
