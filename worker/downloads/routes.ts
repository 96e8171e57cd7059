/** Downloads behind signed links. No other credential; a revoked device's links die at once. */
import { type Context, Hono } from 'hono';
import { type ByteRange, parseByteRange } from '../../protocol/byte-range.ts';
import { verifyDownload } from '../../protocol/download-link.ts';
import { findDeviceBySerial } from '../../store/devices.ts';
import type { AppEnv } from '../context.ts';
import { problem } from '../problem.ts';
import { type Content, openContent } from './content.ts';

const REASONS = {
  malformed: 'The link is not whole.',
  unknown_key: 'The link is signed with a key that is no longer in use.',
  bad_signature: 'The link has been changed.',
  expired: 'The link has expired: ask for a new one.',
};

export const downloads = new Hono<AppEnv>().get('/download/:sha256/:filename', async (c) => {
  const link = await verifyDownload(c.env.DOWNLOAD_KEYS, new URL(c.req.url), new Date());
  if (!link.ok) return problem(403, 'Link not accepted', REASONS[link.error]);
  if ('serial_no' in link.subject && !(await isWelcome(c, link.subject.serial_no))) {
    return problem(403, 'Link not accepted', 'The device is revoked.');
  }
  return serve(c, link.sha256);
});

async function isWelcome(c: Context<AppEnv>, serialNo: string): Promise<boolean> {
  const device = await findDeviceBySerial(c.var.db, serialNo);
  return device !== undefined && device.revokedAt === null && device.decommissionedAt === null;
}

/**
 * Answers by RFC 9110: HEAD, preconditions in their order (§13.2.2), one byte range (§14.2). The entity tag is the
 * content's hash, so it is strong. There is no Last-Modified: preconditions with dates say nothing here.
 */
async function serve(c: Context<AppEnv>, sha256: string): Promise<Response> {
  const etag = `"${sha256}"`;
  const isHead = c.req.method === 'HEAD';
  const ifRange = c.req.header('If-Range');
  const useRange = !isHead && (ifRange === undefined || ifRange.trim() === etag);
  const asked = useRange ? c.req.header('Range') : undefined;
  const content = await openContent(c.env, sha256, asked, (work) => c.executionCtx.waitUntil(work));
  if (content === undefined) return problem(404, 'No such firmware', 'It has been deleted.');
  const headers = describe(c, sha256, etag);
  const range = parseByteRange(asked, content.size);
  const failed = precondition(c, etag);
  if (failed === undefined && !isHead && range.kind !== 'unsatisfiable') return send(content, range, headers);
  await content.close();
  if (failed === 304) return new Response(null, { status: 304, headers });
  if (failed === 412) return refusal(412, 'Not that file', 'This link is for other bytes.', { ETag: etag });
  if (range.kind === 'unsatisfiable') {
    const rest = { ETag: etag, 'Accept-Ranges': 'bytes', 'Content-Range': `bytes */${content.size}` };
    return refusal(416, 'No such range', `The file has ${content.size} bytes.`, rest);
  }
  headers.set('Content-Length', String(content.size));
  return new Response(null, { status: 200, headers });
}

function refusal(status: number, title: string, detail: string, headers: Record<string, string>): Response {
  const response = problem(status, title, detail);
  for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
  return response;
}

/** What the preconditions make of the request, in their order (§13.2.2); `undefined` where it goes on. */
function precondition(c: Context<AppEnv>, etag: string): 412 | 304 | undefined {
  const ifMatch = c.req.header('If-Match');
  if (ifMatch !== undefined && !matchesStrongly(ifMatch, etag)) return 412;
  return matchesWeakly(c.req.header('If-None-Match'), etag) ? 304 : undefined;
}

async function send(
  content: Content,
  range: Exclude<ByteRange, { kind: 'unsatisfiable' }>,
  headers: Headers,
): Promise<Response> {
  const part = range.kind === 'part' ? range : undefined;
  const body = await content.read(part);
  if (body === undefined) return problem(404, 'No such firmware', 'It has been deleted.');
  headers.set('Content-Length', String(part?.length ?? content.size));
  if (part === undefined) {
    // RFC 9530 §2: of what this very answer carries; of a part nobody knows it before it was read.
    headers.set('Content-Digest', headers.get('Repr-Digest') ?? '');
    return new Response(body, { status: 200, headers });
  }
  headers.set('Content-Range', `bytes ${part.offset}-${part.offset + part.length - 1}/${content.size}`);
  return new Response(body, { status: 206, headers });
}

function describe(c: Context<AppEnv>, sha256: string, etag: string): Headers {
  // RFC 8187 §3.2.1 allows fewer characters than a URL.
  const filename = encodeURIComponent(c.req.param('filename') ?? 'firmware').replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return new Headers({
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': `attachment; filename*=UTF-8''${filename}`,
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'private, no-transform',
    ETag: etag,
    // RFC 9530 §3: of the whole representation, also in an answer to a range.
    'Repr-Digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`,
  });
}

const tagsOf = (header: string): string[] => header.split(',').map((tag) => tag.trim());

/** `If-Match` compares strongly (RFC 9110 §13.1.1). */
const matchesStrongly = (header: string, etag: string): boolean =>
  tagsOf(header).some((tag) => tag === '*' || tag === etag);

/** `If-None-Match` compares weakly (RFC 9110 §13.1.2). */
const matchesWeakly = (header: string | undefined, etag: string): boolean =>
  tagsOf(header ?? '').some((tag) => tag === '*' || tag.replace(/^W\//, '') === etag);
