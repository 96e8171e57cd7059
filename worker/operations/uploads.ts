/** Resumable uploads: parts into R2, and named by their hash only when that has been verified. */
import { findBytes, partKey, placeForParts } from '../../durable-objects/releases/stored-bytes.ts';
import { checkBytes, clearUpload, forgetUpload } from '../../durable-objects/releases/upkeep.ts';
import type { BeginUpload, Firmware } from '../../protocol/api.ts';
import { type FirmwareRow, firmwareOf } from '../../store/firmware.ts';
import { isDamaged } from '../../store/firmware-upkeep.ts';
import {
  addPart,
  addUpload,
  describeUpload,
  findUnfinishedUpload,
  findUpload,
  forgetParts,
  type StoredPart,
  type UploadRow,
} from '../../store/firmware-uploads.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { addStored, BytesGone, checkSize, describedAnew, findSame, mismatch } from './firmware.ts';
import { keepStream, nameVerified, PART_BYTES } from './objects.ts';

export const partCount = (sizeBytes: number): number => Math.max(1, Math.ceil(sizeBytes / PART_BYTES));

/** A part was sent several times at once, and R2 has kept another of them than was noted. */
class PartsLost extends ProblemError {
  constructor() {
    super(409, 'Parts lost', 'Some parts are not as they were noted: send them again, then complete.');
  }
}

/** Begins a resumable upload, or goes on with one of the same bytes. Bytes that were damaged are taken once more. */
export async function beginUpload(
  c: AppContext,
  begin: BeginUpload,
): Promise<{ upload: UploadRow; parts: number[] } | { firmware: Firmware }> {
  const sha256 = begin.checksum.slice('sha256:'.length);
  const [there, stored, unfinished, damaged] = await Promise.all([
    findSame(c, begin, sha256),
    findBytes(c.env.FIRMWARE, sha256),
    findUnfinishedUpload(c.var.db, begin, c.var.principal.actor),
    isDamaged(c.var.db, sha256),
    checkSize(c, begin.size_bytes),
  ]);
  if (there !== undefined && !damaged) return { firmware: firmwareOf(await describedAnew(c, there, begin)) };
  if (stored !== undefined && stored.size === begin.size_bytes && !damaged) {
    const row = await addStored(c, begin, { sha256, size_bytes: stored.size }).catch((error: unknown) => {
      if (!(error instanceof BytesGone)) throw error;
    });
    if (row !== undefined) return { firmware: firmwareOf(row) };
  }
  if (unfinished !== undefined) {
    // What was said of it may have been put right since.
    await describeUpload(c.var.db, unfinished.id, begin);
    const { parts = [] } = (await findUpload(c.var.db, unfinished.id)) ?? {};
    return { upload: unfinished, parts: parts.map((part) => part.part_no) };
  }
  return { upload: await addUpload(c.var.db, begin, placeForParts(), c.var.principal.actor), parts: [] };
}

/** Stores one part, streaming. A part sent again replaces the first. */
export async function storePart(
  c: AppContext,
  id: string,
  partNo: number,
  body: ReadableStream,
): Promise<void> {
  const { upload, damaged } = await theUpload(c, id);
  const last = partCount(upload.sizeBytes);
  const size = sizeOfPart(upload, partNo);
  if (!Number.isInteger(partNo) || partNo < 1 || partNo > last)
    throw new ProblemError(422, 'No such part', `Parts are numbered 1 to ${last}.`);
  if (Number(c.req.header('Content-Length')) !== size) {
    throw new ProblemError(
      422,
      'Wrong part size',
      `Part ${partNo} must have exactly ${size} bytes, sent with Content-Length.`,
    );
  }
  const etag = await put(c.env.FIRMWARE, upload, partNo, body, damaged);
  try {
    await addPart(c.var.db, upload.id, partNo, etag);
  } catch (error) {
    if ((await findUpload(c.var.db, upload.id)) !== undefined) throw error;
    if (last > 1) await c.env.FIRMWARE.delete(etag);
    else await c.env.RELEASES.getByName('main').dropUnwanted(upload.sha256);
    throw new ProblemError(409, 'Upload ended', 'It was completed, or given up, before this part was here.');
  }
}

const sizeOfPart = ({ sizeBytes }: UploadRow, partNo: number): number =>
  partNo === partCount(sizeBytes) ? sizeBytes - (partNo - 1) * PART_BYTES : PART_BYTES;

/** Answers what tells the part from another of its number: its key, where there are several parts. */
async function put(
  bucket: R2Bucket,
  upload: UploadRow,
  partNo: number,
  body: ReadableStream,
  damaged: boolean,
): Promise<string> {
  if (partCount(upload.sizeBytes) > 1) {
    const key = partKey(upload.objectKey, partNo);
    await bucket.put(key, body);
    return key;
  }
  // All there is: R2 keeps it only if the sum is right. Where it is not, that is said when the upload ends.
  await keepStream(bucket, body, upload.sha256, damaged);
  return upload.sha256;
}

/**
 * Ends a resumable upload: verifies what was stored, and only then names it by its hash. A crash in between leaves the
 * parts without a name; completing again goes on from there.
 */
export async function completeUpload(c: AppContext, id: string): Promise<FirmwareRow> {
  const { upload, parts, damaged } = await theUpload(c, id);
  const missing = partCount(upload.sizeBytes) - parts.length;
  if (missing > 0) throw new ProblemError(409, 'Parts missing', `${missing} of the parts are not here yet.`);
  try {
    const row = await enter(c, upload, parts, damaged);
    await forgetUpload(c.env.FIRMWARE, c.var.db, upload);
    return row;
  } catch (error) {
    // What is wrong with it stays wrong, so nothing of it is kept; what only failed can be tried again.
    if (error instanceof PartsLost) {
      // Ended twice at once, the other one has given it up.
      await theUpload(c, id);
      await forgetParts(c.var.db, upload.id);
    } else if (error instanceof ProblemError) await clearUpload(c.env, c.var.db, upload);
    throw error;
  }
}

/** Keeps the bytes of an upload whose parts are all here, and enters them into the catalogue. */
async function enter(
  c: AppContext,
  upload: UploadRow,
  parts: readonly StoredPart[],
  damaged: boolean,
): Promise<FirmwareRow> {
  const description = {
    version: upload.version,
    model: upload.model,
    kind: upload.kind,
    name: upload.name,
    release_notes: upload.releaseNotes,
    min_version: upload.minVersion,
  };
  if (!(await isKept(c.env.FIRMWARE, upload, parts, damaged))) throw mismatch();
  if (damaged) await checkBytes(c.env, c.var.db, upload.sha256);
  return addStored(c, description, { sha256: upload.sha256, size_bytes: upload.sizeBytes });
}

/** Verifies the parts and names them by their hash; answers whether they had it. */
async function isKept(
  bucket: R2Bucket,
  upload: UploadRow,
  parts: readonly StoredPart[],
  damaged: boolean,
): Promise<boolean> {
  const isThere = async () => (await findBytes(bucket, upload.sha256))?.size === upload.sizeBytes;
  if (partCount(upload.sizeBytes) === 1) return isThere();
  const pieces = parts.map(({ part_no, etag }) => ({ key: etag, size: sizeOfPart(upload, part_no) }));
  const place = { size: upload.sizeBytes, pieces };
  const named = await nameVerified(bucket, place, upload.sha256, damaged);
  if (named !== 'missing') return named;
  // Completed twice at once, the other one may be through already.
  if (await isThere()) return true;
  throw new PartsLost();
}

async function theUpload(c: AppContext, id: string) {
  const found = await findUpload(c.var.db, id);
  if (found === undefined)
    throw new ProblemError(404, 'No such upload', 'It was completed, or given up: begin again.');
  return found;
}
