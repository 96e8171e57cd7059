/** Uploading, signing and publishing firmware. The release key is used here and goes nowhere. */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import {
  FIRMWARE_DOCUMENTS,
  type Firmware,
  type FirmwareDocument,
  firmware,
  uploadState,
} from '../protocol/api.ts';
import { targetPath } from '../protocol/target-path.ts';
import { targets as targetsSchema } from '../protocol/tuf.ts';
import { type ApiClient, ApiError, CommandFailed } from './api-client.ts';
import { Progress } from './output.ts';
import type { SigningKey } from './tuf-keys.ts';

const AT_ONCE = 4;
/** Everybody who publishes at once signs one after the other. */
const SIGN_TRIES = 30;
const LONGEST_WAIT_MS = 2000;
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
  const begin = () => api.post('/firmware/uploads', uploadState, { ...options, checksum, size_bytes });
  const state = await begin();
  if (state.firmware !== null) return state.firmware;
  const missing = Array.from({ length: state.part_count }, (_, i) => i + 1).filter(
    (n) => !state.parts.includes(n),
  );
  const sizeOf = (part: number) => Math.min(state.part_size, size_bytes - (part - 1) * state.part_size);
  let done = state.parts.reduce((sum, part) => sum + sizeOf(part), 0);
  const progress = new Progress('upload', size_bytes, done);
  const handle = await open(file);
  const worker = async (): Promise<void> => {
    for (let part = missing.shift(); part !== undefined; part = missing.shift()) {
      const start = (part - 1) * state.part_size;
      const length = sizeOf(part);
      const bytes = new Uint8Array(length);
      const { bytesRead } = await handle.read(bytes, 0, length, start);
      if (bytesRead !== length) throw new CommandFailed(`${file} has changed while it was read`);
      await api.putBytes(`/firmware/uploads/${state.id}/parts/${part}`, bytes);
      done += length;
      progress.tell(done);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  } finally {
    await handle.close();
  }
  try {
    return await api.post(`/firmware/uploads/${state.id}/complete`, firmware, undefined, COMPLETE_MS);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
    // It was completed, and only the answer was lost: then the firmware is there.
    const { firmware: there } = await begin();
    if (there === null) throw error;
    return there;
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

/** Signs the release and publishes it. Looks first at what it signs: a server must not get anything else signed. */
export async function publish(api: ApiClient, row: Firmware, key: SigningKey): Promise<Firmware> {
  if (row.state === 'published') return row;
  for (let attempt = 1; ; attempt += 1) {
    const bytes = await api.postForBytes(`/firmware/${row.id}/publish`);
    inspect(bytes, row);
    try {
      return await api.post(`/firmware/${row.id}/publish`, firmware, { signatures: [key.sign(bytes)] });
    } catch (error) {
      // Another release was published between the two: there are new bytes to sign.
      if (!(error instanceof ApiError && error.status === 409) || attempt === SIGN_TRIES) throw error;
    }
    await wait(Math.random() * Math.min(LONGEST_WAIT_MS, 50 * 2 ** attempt));
  }
}

/** Throws unless the bytes release exactly this firmware under its name. */
function inspect(bytes: Uint8Array, row: Firmware): void {
  const metadata = targetsSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
  if (!metadata.success)
    throw new CommandFailed('the server asked to sign something that is no update metadata');
  const path = targetPath(row);
  const target = metadata.data.targets[path];
  const wanted = row.checksum.slice('sha256:'.length);
  if (target?.hashes.sha256 !== wanted || target.length !== row.size_bytes) {
    throw new CommandFailed(`the server asked to sign other bytes than those of ${path}: nothing was signed`);
  }
}
