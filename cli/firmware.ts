/** Uploading firmware, and the documents beside it. */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import {
  FIRMWARE_DOCUMENTS,
  type Firmware,
  type FirmwareDocument,
  firmware,
  type UploadState,
  uploadState,
} from '../protocol/api.ts';
import { type ApiClient, ApiError, CommandFailed } from './api-client.ts';
import { Progress } from './output.ts';

const AT_ONCE = 4;
const UPLOAD_TRIES = 3;
/** The server reads all of it once more. */
const COMPLETE_MS = 900_000;

export interface UploadOptions {
  version: string;
  model: string;
  kind: string;
  /** Of an app. */
  name?: string;
  release_notes: string;
  min_version?: string;
}

/** `sha256:…` of a file, read in pieces. */
export async function checksumOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

/** Uploads what the server does not have yet, in parts; a broken upload goes on where it stopped. */
export async function upload(api: ApiClient, file: string, options: UploadOptions): Promise<Firmware> {
  const size_bytes = statSync(file).size;
  const checksum = await checksumOf(file);
  for (let attempt = 1; ; attempt += 1) {
    const state = await api.post('/firmware/uploads', uploadState, { ...options, checksum, size_bytes });
    if (state.firmware !== null) return state.firmware;
    await sendParts(api, file, size_bytes, state);
    try {
      return await api.post(`/firmware/uploads/${state.id}/complete`, firmware, undefined, COMPLETE_MS);
    } catch (error) {
      // Completed, and only the answer was lost; or parts of it were. Beginning again tells.
      const isOpen = error instanceof ApiError && [404, 409].includes(error.status);
      if (!isOpen || attempt === UPLOAD_TRIES) throw error;
    }
  }
}

/** Sends the parts that are missing, a few at a time. */
async function sendParts(api: ApiClient, file: string, bytes: number, state: UploadState): Promise<void> {
  const missing = Array.from({ length: state.part_count }, (_, i) => i + 1).filter(
    (n) => !state.parts.includes(n),
  );
  const sizeOf = (part: number) => Math.min(state.part_size, bytes - (part - 1) * state.part_size);
  let done = state.parts.reduce((sum, part) => sum + sizeOf(part), 0);
  const progress = new Progress('upload', bytes, done);
  const handle = await open(file);
  const worker = async (): Promise<void> => {
    for (let part = missing.shift(); part !== undefined; part = missing.shift()) {
      const start = (part - 1) * state.part_size;
      const length = sizeOf(part);
      const piece = new Uint8Array(length);
      const { bytesRead } = await handle.read(piece, 0, length, start);
      if (bytesRead !== length) throw new CommandFailed(`${file} has changed while it was read`);
      await api.putBytes(`/firmware/uploads/${state.id}/parts/${part}`, piece);
      done += length;
      progress.tell(done);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  } finally {
    await handle.close();
  }
}

/** Stores documents beside firmware: bills of materials and advisories are named by files. */
export async function attach(
  api: ApiClient,
  row: Firmware,
  files: Partial<Record<FirmwareDocument, string>>,
): Promise<Firmware> {
  for (const document of FIRMWARE_DOCUMENTS) {
    const file = files[document];
    if (file === undefined) continue;
    const type = file.endsWith('.json') ? 'application/json' : 'application/octet-stream';
    await api.putBytes(`/firmware/${row.id}/${document}`, new Uint8Array(readFileSync(file)), type);
  }
  return api.get(`/firmware/${row.id}`, firmware);
}
