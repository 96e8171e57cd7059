import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetch, Response } from 'undici';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type DownloadRequest, download } from './download.ts';
import { UpdateFailure } from './failure.ts';

const bytes = randomBytes(300_000);
const CUT = 100_000;

describe('a download on a device', () => {
  let directory: string;
  let server: Server;
  let base: string;
  /** Links that are good, and the ranges that were asked for. */
  let good: Set<string>;
  let asked: (string | undefined)[];
  let cut: () => void;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-download-'));
    good = new Set(['/first']);
    asked = [];
    server = createServer((request, response) => {
      if (!good.has(request.url ?? '')) return void response.writeHead(403).end('{}');
      asked.push(request.headers.range);
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, { 'Content-Length': bytes.length - from });
      if (from > 0) return void response.end(bytes.subarray(from));
      // The link expires while the first connection breaks.
      good = new Set(['/second']);
      response.write(bytes.subarray(0, CUT));
      cut = () => response.destroy();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  });
  afterEach(() => {
    vi.restoreAllMocks();
    server.close();
    server.closeAllConnections();
    rmSync(directory, { recursive: true, force: true });
  });

  /** A download of all of it to a file of its own. */
  const request = (more: Partial<DownloadRequest>): DownloadRequest => ({
    file: join(directory, 'image.bin'),
    size_bytes: bytes.length,
    checksum: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
    link: async () => `${base}/first`,
    fetch: (url, headers, signal) => fetch(url, { headers, signal }),
    progress: () => undefined,
    resumed: () => undefined,
    signal: new AbortController().signal,
    ...more,
  });

  it('whose link expires in the middle goes on with a new one from where it was', async () => {
    let renewed = 0;
    const resumed: number[] = [];
    const wanted = request({
      link: async (expired) => {
        if (expired) renewed += 1;
        return `${base}/${renewed === 0 ? 'first' : 'second'}`;
      },
      progress: (at) => at === CUT && cut(),
      resumed: (at) => resumed.push(at),
    });
    await download(wanted);
    expect(readFileSync(wanted.file).equals(bytes)).toBe(true);
    expect(renewed).toBe(1);
    expect(asked).toEqual([undefined, `bytes=${CUT}-`]);
    expect(resumed[0]).toBe(CUT);
  });

  it('that is answered with something else again and again is given up, and not asked for without end', async () => {
    // Between tries it waits at random, here not at all.
    vi.spyOn(Math, 'random').mockReturnValue(0);
    let answers = 0;
    const page = async () => {
      answers += 1;
      if (answers > 100) throw new UpdateFailure('install_error', 'asked a hundred times');
      return new Response('<h1>Welcome to our guest network</h1>');
    };
    const tried = download(request({ fetch: page }));
    await expect(tried).rejects.toMatchObject({ code: 'download_error' });
    expect(answers).toBeLessThan(20);
  });
});
