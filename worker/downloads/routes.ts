/** Downloads behind signed links. No other credential; a revoked device's links die at once. */
import { type Context, Hono } from 'hono';
import { parseByteRange } from '../../protocol/byte-range.ts';
import { verifyDownload } from '../../protocol/download-link.ts';
import { findDevice } from '../../store/devices.ts';
import type { AppEnv } from '../context.ts';
import { problem } from '../problem.ts';
import { openContent } from './content.ts';

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
  const device = await findDevice(c.var.db, serialNo);
  return device !== undefined && device.revokedAt === null;
}

/** Answers by RFC 9110: HEAD, conditional requests, one byte range. The entity tag is the content's hash. */
async function serve(c: Context<AppEnv>, sha256: string): Promise<Response> {
  const content = await openContent(c.env, sha256, (work) => c.executionCtx.waitUntil(work));
  if (content === undefined) return problem(404, 'No such firmware', 'It has been deleted.');
  const etag = `"${sha256}"`;
  const headers = new Headers({
    'Content-Type': 'application/octet-stream',
    'Content-Disposition': `attachment; filename*=UTF-8''${encodeURIComponent(c.req.param('filename') ?? 'firmware')}`,
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'private, no-transform',
    ETag: etag,
    // RFC 9530 §3: of the whole representation, also in an answer to a range.
    'Repr-Digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`,
  });
  if (matchesAny(c.req.header('If-None-Match'), etag)) return new Response(null, { status: 304, headers });
  const ifRange = c.req.header('If-Range');
  const useRange = c.req.method === 'GET' && (ifRange === undefined || ifRange.trim() === etag);
  const range = parseByteRange(useRange ? c.req.header('Range') : undefined, content.size);
  if (range.kind === 'unsatisfiable') {
    headers.set('Content-Range', `bytes */${content.size}`);
    return new Response(null, { status: 416, headers });
  }
  const part = range.kind === 'part' ? range : undefined;
  headers.set('Content-Length', String(part?.length ?? content.size));
  if (part !== undefined) {
    headers.set('Content-Range', `bytes ${part.offset}-${part.offset + part.length - 1}/${content.size}`);
  }
  if (c.req.method === 'HEAD') return new Response(null, { status: 200, headers });
  const body = await content.read(part);
  if (body === undefined) return problem(404, 'No such firmware', 'It has been deleted.');
  return new Response(body, { status: part === undefined ? 200 : 206, headers });
}

/** `If-None-Match` compares weakly (RFC 9110 §13.1.2). */
function matchesAny(header: string | undefined, etag: string): boolean {
  return (header ?? '')
    .split(',')
    .some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
}
