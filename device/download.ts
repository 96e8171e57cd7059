/** Downloads that survive cuts: by ranges from where they stopped, and never a byte more than was announced. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, rmSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { Response } from 'undici';
import { UpdateFailure } from './failure.ts';

const TRIES = 8;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 30_000;

export interface DownloadRequest {
  /** Where to; a partial file from before is gone on with. */
  file: string;
  size_bytes: number;
  /** `sha256:…` */
  checksum: string;
  /** The link to use now; asked again when one has expired. */
  link(expired: boolean): Promise<string>;
  fetch(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response>;
  /** Told after each piece, with the bytes that are there now. */
  progress(bytes: number): void;
  /** Told when it goes on after a cut. */
  resumed(bytes: number): void;
  signal: AbortSignal;
}

/** Downloads and verifies. Throws {@link UpdateFailure}; an aborted signal throws its reason and keeps what is there. */
export async function download(request: DownloadRequest): Promise<void> {
  let expired = false;
  let failures = 0;
  let before = present(request.file);
  let problem = '';
  while (present(request.file) < request.size_bytes) {
    request.signal.throwIfAborted();
    try {
      expired = (await piece(request, await request.link(expired))) === 'expired';
      if (expired) failures += 1;
    } catch (error) {
      request.signal.throwIfAborted();
      if (error instanceof UpdateFailure) throw error;
      failures += 1;
      problem =
        error instanceof Error
          ? `${error.message}${error.cause === undefined ? '' : ` (${String(error.cause)})`}`
          : String(error);
    }
    const now = present(request.file);
    // A connection that brings bytes before it breaks is not hopeless.
    if (now > before) failures = Math.min(failures, 1);
    before = now;
    if (failures >= TRIES)
      throw new UpdateFailure(
        'download_error',
        `given up after ${TRIES} tries: ${problem || 'the link keeps expiring'}`,
      );
    if (now < request.size_bytes) {
      if (failures > 0)
        await wait(Math.random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures), undefined, {
          signal: request.signal,
        });
      request.resumed(now);
    }
  }
  await verify(request);
}

async function piece(request: DownloadRequest, url: string): Promise<'done' | 'expired'> {
  const from = present(request.file);
  const hex = request.checksum.slice('sha256:'.length);
  const headers: Record<string, string> =
    from === 0 ? {} : { Range: `bytes=${from}-`, 'If-Range': `"${hex}"` };
  const response = await request.fetch(url, headers, request.signal);
  if (response.status === 403) {
    await response.body?.cancel();
    return 'expired';
  }
  if (response.status !== 200 && response.status !== 206) {
    await response.body?.cancel();
    throw new Error(`the download was answered ${response.status}`);
  }
  // 200 to a range: the server starts over, so do we.
  const start = response.status === 206 ? from : 0;
  const file = await open(request.file, start === 0 ? 'w' : 'r+');
  try {
    await store(request, response, file, start);
    await file.sync();
  } finally {
    await file.close();
  }
  return 'done';
}

async function store(
  request: DownloadRequest,
  response: Response,
  file: FileHandle,
  start: number,
): Promise<void> {
  let at = start;
  for await (const chunk of response.body ?? []) {
    if (at + chunk.byteLength > request.size_bytes) {
      throw new UpdateFailure('size_mismatch', `more than the announced ${request.size_bytes} bytes came`);
    }
    await file.write(chunk, 0, chunk.byteLength, at);
    at += chunk.byteLength;
    request.progress(at);
  }
  // Whole for whoever sent it, as a login page of a guest network: it counts as a try, or they would never end.
  if (at < request.size_bytes) throw new Error(`the answer ended at ${at} of ${request.size_bytes} bytes`);
}

/** The whole file against its checksum; a wrong one is thrown away. */
async function verify({ file, checksum }: DownloadRequest): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  if (`sha256:${hash.digest('hex')}` === checksum) return;
  rmSync(file, { force: true });
  throw new UpdateFailure('checksum_mismatch', 'what was downloaded does not have the announced checksum');
}

const present = (file: string): number => (existsSync(file) ? statSync(file).size : 0);
