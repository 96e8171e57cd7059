/** What can be done to firmware, for the API and the pages alike. Bytes go to R2 under their own hash, once. */

import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import type { BeginUpload, Firmware, FirmwareDescription } from '../../protocol/api.ts';
import { auditEntry } from '../../store/audit-log.ts';
import {
  addFirmware,
  addPart,
  addUpload,
  deleteFirmware,
  deleteUpload,
  type FirmwareRow,
  findFirmwareByVersion,
  findUnfinishedUpload,
  findUpload,
  firmwareInUse,
  firmwareOf,
  objectKey,
  type UploadRow,
} from '../../store/firmware.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';

/** All parts but the last have this size: R2's smallest is 5 MiB, a Worker takes at most 100 MB. */
export const PART_BYTES = 8 * 1024 * 1024;

const taken = () =>
  new ProblemError(
    409,
    'Version taken',
    'Other bytes are stored under this model and version: raise the version.',
  );

/** Stores a file sent whole. The same bytes again are a success. */
export async function storeFirmware(
  c: AppContext,
  description: FirmwareDescription,
  file: Blob,
): Promise<{ row: FirmwareRow; created: boolean }> {
  await checkSize(c, file.size);
  const bytes = await file.arrayBuffer();
  const sha256 = hex(await crypto.subtle.digest('SHA-256', bytes));
  if (description.checksum !== undefined && description.checksum !== `sha256:${sha256}`) throw mismatch();
  const there = await findFirmwareByVersion(c.var.db, description.model, description.version);
  if (there !== undefined) {
    if (there.sha256 !== sha256) throw taken();
    return { row: there, created: false };
  }
  await c.env.FIRMWARE.put(objectKey(sha256), bytes, { sha256, onlyIf: { etagDoesNotMatch: '*' } });
  return { row: await add(c, description, { sha256, size_bytes: bytes.byteLength }), created: true };
}

/** Begins a resumable upload, or goes on with one of the same bytes. */
export async function beginUpload(
  c: AppContext,
  begin: BeginUpload,
): Promise<{ upload: UploadRow; parts: number[] } | { firmware: Firmware }> {
  await checkSize(c, begin.size_bytes);
  const sha256 = begin.checksum.slice('sha256:'.length);
  const there = await findFirmwareByVersion(c.var.db, begin.model, begin.version);
  if (there !== undefined) {
    if (there.sha256 !== sha256) throw taken();
    return { firmware: firmwareOf(there) };
  }
  const stored = await c.env.FIRMWARE.head(objectKey(sha256));
  if (stored !== null && stored.size === begin.size_bytes) {
    return { firmware: firmwareOf(await add(c, begin, { sha256, size_bytes: stored.size })) };
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

export const partCount = (sizeBytes: number): number => Math.max(1, Math.ceil(sizeBytes / PART_BYTES));

/** Stores one part, streaming. A part sent again replaces the first. */
export async function storePart(
  c: AppContext,
  id: string,
  partNo: number,
  body: ReadableStream,
): Promise<void> {
  const { upload } = await theUpload(c, id);
  const last = partCount(upload.sizeBytes);
  if (partNo < 1 || partNo > last)
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
 * Ends a resumable upload: joins the parts, hashes what was stored, and only then names it by its hash. A crash
 * in between leaves the joined parts under their temporary key; completing again goes on from there.
 */
export async function completeUpload(c: AppContext, id: string): Promise<FirmwareRow> {
  const { upload, parts } = await theUpload(c, id);
  if ((await c.env.FIRMWARE.head(upload.objectKey)) === null) {
    const missing = partCount(upload.sizeBytes) - parts.length;
    if (missing > 0)
      throw new ProblemError(409, 'Parts missing', `${missing} of the parts are not here yet.`);
    await c.env.FIRMWARE.resumeMultipartUpload(upload.objectKey, upload.multipartId).complete(
      parts.map(({ part_no, etag }) => ({ partNumber: part_no, etag })),
    );
  }
  const sha256 = await digestObject(c.env.FIRMWARE, upload.objectKey);
  if (sha256 !== upload.sha256) {
    await discard(c, upload);
    throw mismatch();
  }
  await moveObject(c.env.FIRMWARE, upload.objectKey, objectKey(sha256));
  const row = await add(
    c,
    {
      version: upload.version,
      model: upload.model,
      kind: upload.kind,
      release_notes: upload.releaseNotes,
      min_version: upload.minVersion,
    },
    { sha256, size_bytes: upload.sizeBytes },
  );
  await discard(c, upload);
  return row;
}

/** Deletes firmware no campaign is about; the bytes go when nothing else has the same. */
export async function removeFirmware(c: AppContext, row: FirmwareRow): Promise<void> {
  if (await firmwareInUse(c.var.db, row.id)) {
    throw new ProblemError(409, 'Firmware in use', 'A campaign is about this firmware, so it stays.');
  }
  if (await deleteFirmware(c.var.db, row)) await c.env.FIRMWARE.delete(objectKey(row.sha256));
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'firmware.delete',
    subject: `${row.model}/${row.version}`,
  });
}

async function add(
  c: AppContext,
  description: FirmwareDescription,
  artifact: { sha256: string; size_bytes: number },
): Promise<FirmwareRow> {
  const { actor } = c.var.principal;
  const added = await addFirmware(c.var.db, description, artifact, actor);
  if (added === undefined) {
    const there = await findFirmwareByVersion(c.var.db, description.model, description.version);
    if (there?.sha256 !== artifact.sha256) throw taken();
    return there;
  }
  const subject = `${added.model}/${added.version}`;
  await auditEntry(c.var.db, { actor, action: 'firmware.upload', subject, detail: { sha256: added.sha256 } });
  return added;
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

async function checkSize(c: AppContext, bytes: number): Promise<void> {
  const { max_firmware_bytes: most } = await readSettings(c.env);
  if (bytes > most)
    throw new ProblemError(413, 'Firmware too large', `At most ${most} bytes are allowed here.`);
  if (bytes === 0) throw new ProblemError(422, 'Empty file', 'The firmware has no bytes.');
}

const mismatch = () =>
  new ProblemError(
    422,
    'Checksum mismatch',
    'What arrived does not have the checksum you named; nothing was kept.',
  );

async function digestObject(bucket: R2Bucket, key: string): Promise<string> {
  const object = await bucket.get(key);
  if (object === null) throw new Error(`R2 object ${key} has vanished`);
  const digest = new crypto.DigestStream('SHA-256');
  await object.body.pipeTo(digest);
  return hex(await digest.digest);
}

/** R2 has no rename: streamed over, with its hash checked once more by R2 where a whole put allows it. */
async function moveObject(bucket: R2Bucket, from: string, to: string): Promise<void> {
  if ((await bucket.head(to)) !== null) return;
  const object = await bucket.get(from);
  if (object === null) throw new Error(`R2 object ${from} has vanished`);
  await bucket.put(to, object.body);
}

const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');
