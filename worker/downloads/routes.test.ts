import { createExecutionContext, env, waitOnExecutionContext } from 'cloudflare:test';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Env } from '../../durable-objects/env.ts';
import { nameBytes } from '../../durable-objects/releases/stored-bytes.ts';
import { signDownload } from '../../protocol/download-link.ts';
import type { AppEnv } from '../context.ts';
import { downloads } from './routes.ts';

const worker = env as unknown as Env;
const DOWNLOAD_KEYS = JSON.stringify({ k: Buffer.alloc(32, 7).toString('base64') });
const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
let sha256: string;
let link: string;
let isDamaged = false;

/** There is no database in here: its answer, over Neon's HTTP, to whether bytes are damaged. */
async function answerAsDatabase(): Promise<Response> {
  const fields = [{ name: 'damaged', dataTypeID: 16 }];
  const rows = [[isDamaged ? 't' : 'f']];
  return Response.json({ fields, rows, command: 'SELECT', rowCount: 1, rowAsArray: true });
}

async function get(headers: Record<string, string> = {}, method = 'GET', path = link): Promise<Response> {
  const context = createExecutionContext();
  const app = new Hono<AppEnv>().route('/', downloads);
  const database = {
    DATABASE_URL: 'postgres://u:p@db.example/d',
    NEON_FETCH_ENDPOINT: 'http://db.example/sql',
  };
  const bindings = { ...worker, ...database, DOWNLOAD_KEYS };
  const response = await app.request(path, { method, headers }, bindings, context);
  await waitOnExecutionContext(context);
  return response;
}

describe('a download', () => {
  afterAll(() => vi.unstubAllGlobals());
  beforeAll(async () => {
    vi.stubGlobal('fetch', answerAsDatabase);
    sha256 = Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
    await worker.FIRMWARE.put(`firmware/sha256/${sha256}`, bytes);
    link = await signDownload(DOWNLOAD_KEYS, {
      sha256,
      filename: 'a.bin',
      actor: 'user:x',
      expires: Math.floor(Date.now() / 1000) + 60,
    });
  });

  it('is the whole file with its digest as entity tag', async () => {
    const response = await get();
    expect(response.status).toBe(200);
    expect(response.headers.get('ETag')).toBe(`"${sha256}"`);
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  });

  it('is refused where the stored bytes are known to be damaged, and served from a copy that is whole', async () => {
    const other = bytes.slice(0, 700);
    const sum = Buffer.from(await crypto.subtle.digest('SHA-256', other)).toString('hex');
    await worker.FIRMWARE.put(`firmware/sha256/${sum}`, other);
    const expires = Math.floor(Date.now() / 1000) + 60;
    const subject = { sha256: sum, filename: 'a.bin', actor: 'user:x', expires };
    const path = await signDownload(DOWNLOAD_KEYS, subject);
    isDamaged = true;
    for (const method of ['GET', 'HEAD']) expect((await get({}, method, path)).status).toBe(503);
    isDamaged = false;
    expect((await (await get({}, 'GET', path)).arrayBuffer()).byteLength).toBe(700);
    isDamaged = true;
    expect((await (await get({}, 'GET', path)).arrayBuffer()).byteLength).toBe(700);
    isDamaged = false;
  });

  it('goes on from any byte', async () => {
    const response = await get({ Range: 'bytes=990-', 'If-Range': `"${sha256}"` });
    expect([response.status, response.headers.get('Content-Range')]).toEqual([206, 'bytes 990-999/1000']);
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes.slice(990));
  });

  it('comes from the parts in which it lies, whole and by ranges', async () => {
    const joined = Uint8Array.from({ length: 500 }, (_, i) => (i * 7) % 256);
    const sum = Buffer.from(await crypto.subtle.digest('SHA-256', joined)).toString('hex');
    const pieces = [200, 200, 100].map((size, n) => ({ key: `uploads/joined/${n}`, size }));
    for (const [n, { key, size }] of pieces.entries())
      await worker.FIRMWARE.put(key, joined.subarray(n * 200, n * 200 + size));
    await nameBytes(worker.FIRMWARE, sum, { size: 500, pieces }, false);
    const path = await signDownload(DOWNLOAD_KEYS, {
      sha256: sum,
      filename: 'a.bin',
      actor: 'user:x',
      expires: Math.floor(Date.now() / 1000) + 60,
    });
    // Out of R2, and then out of the cache.
    for (const _ of [1, 2]) {
      const part = await get({ Range: 'bytes=490-' }, 'GET', path);
      expect(part.headers.get('Content-Range')).toBe('bytes 490-499/500');
      expect(new Uint8Array(await part.arrayBuffer())).toEqual(joined.slice(490));
      expect(new Uint8Array(await (await get({}, 'GET', path)).arrayBuffer())).toEqual(joined);
    }
  });

  it.each([
    ['bytes=1000-', 416, 'bytes */1000'],
    ['bytes=5-1', 200, null],
    ['bytes=0-1,4-5', 200, null],
    ['lines=1-2', 200, null],
    ['garbage', 200, null],
    ['bytes=-1', 206, 'bytes 999-999/1000'],
  ])('answers Range: %s by RFC 9110', async (range, status, contentRange) => {
    const response = await get({ Range: range });
    expect([response.status, response.headers.get('Content-Range')]).toEqual([status, contentRange]);
    await response.arrayBuffer();
  });

  it('is refused as a problem, not with the headers of the file, where range or condition cannot be met', async () => {
    for (const [headers, status] of [
      [{ Range: 'bytes=1000-' }, 416],
      [{ 'If-Match': '"other"' }, 412],
    ] as const) {
      const response = await get(headers);
      const type = response.headers.get('Content-Type');
      expect([response.status, type, response.headers.get('Repr-Digest')]).toEqual([
        status,
        'application/problem+json',
        null,
      ]);
      expect([response.headers.get('ETag'), await response.json()]).toMatchObject([
        `"${sha256}"`,
        { status },
      ]);
    }
    expect(await (await get({ 'If-Match': '"other"' }, 'HEAD')).text()).toBe('');
  });

  it('is sent whole when the file is not the one the device began with', async () => {
    const response = await get({ Range: 'bytes=990-', 'If-Range': '"other"' });
    expect(response.status).toBe(200);
    await response.arrayBuffer();
  });

  it('is not sent again to whoever has it', async () => {
    expect((await get({ 'If-None-Match': `"x", W/"${sha256}"` })).status).toBe(304);
    const again = await get({ 'If-None-Match': 'not even quoted' });
    expect([again.status, (await again.arrayBuffer()).byteLength]).toEqual([200, 1000]);
  });

  it('says the digest of what it is, and of what it carries where that is all of it', async () => {
    const digest = `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`;
    const whole = await get();
    expect([whole.headers.get('Repr-Digest'), whole.headers.get('Content-Digest')]).toEqual([digest, digest]);
    const part = await get({ Range: 'bytes=0-1' });
    expect([part.headers.get('Repr-Digest'), part.headers.get('Content-Digest')]).toEqual([digest, null]);
    await Promise.all([whole.arrayBuffer(), part.arrayBuffer()]);
  });

  it('answers every combination of conditions and ranges by RFC 9110, and no 206 carries more than it says', async () => {
    const own = `"${sha256}"`;
    const ranges = [undefined, 'bytes=0-0', 'bytes=990-', 'bytes=-7', 'bytes=5-1', 'bytes=1000-', 'bytes=-0'];
    ranges.push(
      'bytes=0-1,5-6',
      'bytes=',
      'bytes=--1',
      `bytes=${'9'.repeat(400)}-`,
      `bytes=1-${'9'.repeat(400)}`,
    );
    ranges.push('bytes=0x1-0x2', 'bytes=1.5-2', 'BYTES=0-0', 'seconds=1-2');
    const tags = [undefined, own, `W/${own}`, '"other"', '*', '', 'garbage, "'];
    for (const [i, range] of ranges.entries()) {
      for (const [j, tag] of tags.entries()) {
        for (const name of ['If-Range', 'If-None-Match', 'If-Match']) {
          for (const method of ['GET', 'HEAD']) {
            const headers: Record<string, string> = {};
            if (range !== undefined) headers.Range = range;
            if (tag !== undefined) headers[name] = tag;
            const response = await get(headers, method);
            const body = new Uint8Array(await response.arrayBuffer());
            const where = [i, j, name, method, response.status].join();
            const matches = name === 'If-Match' ? tag === own || tag === '*' : tag !== '"other"';
            if (name === 'If-Match' && tag !== undefined && !matches)
              expect(response.status, where).toBe(412);
            const known = tag === own || tag === `W/${own}` || tag === '*';
            if (name === 'If-None-Match' && known) expect(response.status, where).toBe(304);
            expect([200, 206, 304, 412, 416], where).toContain(response.status);
            if (response.status === 206) {
              const [, from, to] =
                /^bytes (\d+)-(\d+)\/1000$/.exec(response.headers.get('Content-Range') ?? '') ?? [];
              expect(body, where).toEqual(bytes.slice(Number(from), Number(to) + 1));
              expect(name === 'If-Range' && tag !== undefined && tag !== own, where).toBe(false);
            }
            if (response.status === 200 && method === 'GET') expect(body.byteLength, where).toBe(1000);
            if (response.status === 416)
              expect(response.headers.get('Content-Range'), where).toBe('bytes */1000');
            if (method === 'HEAD') expect([206, 416], where).not.toContain(response.status);
          }
        }
      }
    }
  });

  it('answers HEAD with the length and nothing else', async () => {
    const response = await get({}, 'HEAD');
    expect([response.status, response.headers.get('Content-Length'), await response.text()]).toEqual([
      200,
      '1000',
      '',
    ]);
  });

  describe('that was made here before', () => {
    beforeAll(async () => {
      await (await get()).arrayBuffer();
      // What comes now can only be the data centre's own copy.
      await worker.FIRMWARE.delete(`firmware/sha256/${sha256}`);
    });

    it('is answered from the copy kept here, whole and by ranges', async () => {
      const whole = await get();
      expect([whole.status, whole.headers.get('Content-Length')]).toEqual([200, '1000']);
      expect(new Uint8Array(await whole.arrayBuffer())).toEqual(bytes);
      const part = await get({ Range: 'bytes=250-260' });
      expect([part.status, part.headers.get('Content-Range')]).toEqual([206, 'bytes 250-260/1000']);
      expect(new Uint8Array(await part.arrayBuffer())).toEqual(bytes.slice(250, 261));
      const several = await get({ Range: 'bytes=0-1,4-5' });
      expect([several.status, (await several.arrayBuffer()).byteLength]).toEqual([200, 1000]);
      expect((await get({ Range: 'bytes=1000-' })).status).toBe(416);
      expect((await get({ 'If-None-Match': `"${sha256}"` })).status).toBe(304);
      const head = await get({}, 'HEAD');
      expect([head.status, head.headers.get('Content-Length')]).toEqual([200, '1000']);
    });

    it('carries nothing of the link it was first made with', async () => {
      const other = await signDownload(DOWNLOAD_KEYS, {
        sha256,
        filename: 'b.bin',
        actor: 'user:y',
        expires: Math.floor(Date.now() / 1000) + 60,
      });
      const response = await get({}, 'GET', other);
      expect(response.headers.get('Content-Disposition')).toContain('b.bin');
      expect(response.headers.get('Cache-Control')).toBe('private, no-transform');
      expect((await response.arrayBuffer()).byteLength).toBe(1000);
    });

    it('still takes a good link', async () => {
      const [path = ''] = link.split('?');
      for (const bad of [path, link.replace(/sig=.{4}/, 'sig=AAAA'), link.replace(/exp=\d+/, 'exp=1')]) {
        expect((await get({}, 'GET', bad)).status).toBe(403);
      }
    });
  });

  it('is refused when the link was changed', async () => {
    const response = await get({}, 'GET', link.replace('sub=user', 'sub=root'));
    expect([response.status, response.headers.get('Content-Type')]).toEqual([
      403,
      'application/problem+json',
    ]);
  });
});
