/** Resumable uploads: parts into R2, joined, and named by their hash only when that has been verified. */
import type { BeginUpload, Firmware } from '../../protocol/api.ts';
import { type FirmwareRow, firmwareOf, objectKey } from '../../store/firmware.ts';
import {
  addPart,
  addUpload,
  deleteUpload,
  findUnfinishedUpload,
  findUpload,
  type UploadRow,
} from '../../store/firmware-uploads.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { addStored, checkSize, findSame, mismatch } from './firmware.ts';
import { keepVerified, PART_BYTES } from './objects.ts';

export const partCount = (sizeBytes: number): number => Math.max(1, Math.ceil(sizeBytes / PART_BYTES));

/** Begins a resumable upload, or goes on with one of the same bytes. */
export async function beginUpload(
  c: AppContext,
  begin: BeginUpload,
): Promise<{ upload: UploadRow; parts: number[] } | { firmware: Firmware }> {
  await checkSize(c, begin.size_bytes);
  const sha256 = begin.checksum.slice('sha256:'.length);
  const there = await findSame(c, begin, sha256);
  if (there !== undefined) return { firmware: firmwareOf(there) };
  const stored = await c.env.FIRMWARE.head(objectKey(sha256));
  if (stored !== null && stored.size === begin.size_bytes) {
    return { firmware: firmwareOf(await addStored(c, begin, { sha256, size_bytes: stored.size })) };
  }
  const unfinished = await findUnfinishedUpload(c.var.db, begin, c.var.principal.actor);
  if (unfinished !== undefined) {
    const { parts = [] } = (await findUpload(c.var.db, unfinished.id)) ?? {};
    return { upload: unfinished, parts: parts.map((part) => part.part_no) };
  }
  // Not the final key: what lies there has been verified.
  const key = `uploads/${crypto.randomUUID()}`;
  const multipart = await c.env.FIRMWARE.createMultipartUpload(key);
  const storage = { object_key: key, multipart_id: multipart.uploadId };
  return { upload: await addUpload(c.var.db, begin, storage, c.var.principal.actor), parts: [] };
}

/** Stores one part, streaming. A part sent again replaces the first. */
export async function storePart(
  c: AppContext,
  id: string,
  partNo: number,
  body: ReadableStream,
): Promise<void> {
  const { upload } = await theUpload(c, id);
  const last = partCount(upload.sizeBytes);
  if (!Number.isInteger(partNo) || partNo < 1 || partNo > last)
    throw new ProblemError(422, 'No such part', `Parts are numbered 1 to ${last}.`);
  const size = partNo === last ? upload.sizeBytes - (last - 1) * PART_BYTES : PART_BYTES;
  if (Number(c.req.header('Content-Length')) !== size) {
    throw new ProblemError(
      422,
      'Wrong part size',
      `Part ${partNo} must have exactly ${size} bytes, sent with Content-Length.`,
    );
  }
  const multipart = c.env.FIRMWARE.resumeMultipartUpload(upload.objectKey, upload.multipartId);
  const part = await multipart.uploadPart(partNo, body);
  await addPart(c.var.db, upload.id, partNo, part.etag);
}

/**
 * Ends a resumable upload: joins the parts, verifies what was stored, and only then names it by its hash. A crash
 * in between leaves the joined parts under their temporary key; completing again goes on from there.
 */
export async function completeUpload(c: AppContext, id: string): Promise<FirmwareRow> {
  const { upload, parts } = await theUpload(c, id);
  const bucket = c.env.FIRMWARE;
  if ((await bucket.head(upload.objectKey)) === null) {
    const missing = partCount(upload.sizeBytes) - parts.length;
    if (missing > 0)
      throw new ProblemError(409, 'Parts missing', `${missing} of the parts are not here yet.`);
    await bucket
      .resumeMultipartUpload(upload.objectKey, upload.multipartId)
      .complete(parts.map(({ part_no, etag }) => ({ partNumber: part_no, etag })));
  }
  if (!(await keepVerified(bucket, upload.objectKey, upload.sha256))) {
    await discard(c, upload);
    throw mismatch();
  }
  const description = {
    version: upload.version,
    model: upload.model,
    kind: upload.kind,
    name: upload.name,
    release_notes: upload.releaseNotes,
    min_version: upload.minVersion,
  };
  const row = await addStored(c, description, { sha256: upload.sha256, size_bytes: upload.sizeBytes });
  await discard(c, upload);
  return row;
}

async function theUpload(c: AppContext, id: string) {
  const found = await findUpload(c.var.db, id);
  if (found === undefined)
    throw new ProblemError(404, 'No such upload', 'It was completed, or given up: begin again.');
  return found;
}

async function discard(c: AppContext, upload: UploadRow): Promise<void> {
  await c.env.FIRMWARE.delete(upload.objectKey);
  await deleteUpload(c.var.db, upload.id);
}
