import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetch } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { download } from './download.ts';

const bytes = randomBytes(300_000);
const CUT = 100_000;

describe('a download on a device', () => {
  let directory: string;
  let server: Server;
  let base: string;
  /** Links that are good, and the ranges that were asked for. */
  let good: Set<string>;
  let asked: (string | undefined)[];

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
      response.write(bytes.subarray(0, CUT), () => setTimeout(() => response.destroy(), 50));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  });
  afterEach(() => {
    server.close();
    server.closeAllConnections();
    rmSync(directory, { recursive: true, force: true });
  });

  it('whose link expires in the middle goes on with a new one from where it was', async () => {
    const file = join(directory, 'image.bin');
    let renewed = 0;
    const resumed: number[] = [];
    await download({
      file,
      size_bytes: bytes.length,
      checksum: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
      link: async (expired) => {
        if (expired) renewed += 1;
        return `${base}/${renewed === 0 ? 'first' : 'second'}`;
      },
      fetch: (url, headers, signal) => fetch(url, { headers, signal }),
      progress: () => undefined,
      resumed: (at) => resumed.push(at),
      signal: new AbortController().signal,
    });
    expect(readFileSync(file).equals(bytes)).toBe(true);
    expect(renewed).toBe(1);
    expect(asked).toEqual([undefined, `bytes=${resumed[0]}-`]);
    expect(resumed[0]).toBeGreaterThan(0);
  });
});
