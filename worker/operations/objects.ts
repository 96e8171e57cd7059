/** Objects in R2: verified, and only then named by their hash, once. */
import { digestObject } from '../../durable-objects/releases/digest.ts';
import { findBytes, nameBytes, type Place } from '../../durable-objects/releases/stored-bytes.ts';
import { objectKey } from '../../store/firmware.ts';

/** All parts but the last have this size: R2's smallest is 5 MiB, a Worker takes at most 100 MB. */
export const PART_BYTES = 8 * 1024 * 1024;

/** The most bytes of one firmware: one request reads and verifies them all. */
export const LARGEST_BYTES = 4_995 * 1024 * 1024;

/** R2's number for bytes that have another sum. */
const BAD_DIGEST = /\b10037\b/;
/** R2's numbers for an upload it does not know (any more), and for parts that are not its latest. */
export const areNoParts = (error: unknown): boolean =>
  error instanceof Error && /\b1002[45]\b/.test(error.message);

/** How bytes are put under their hash: R2 verifies it, and writes over nothing but what is `damaged`. */
export const underHash = (sha256: string, damaged: boolean): R2PutOptions =>
  damaged ? { sha256 } : { sha256, onlyIf: { etagDoesNotMatch: '*' } };

/**
 * Names what was joined by its hash if that is `sha256` (lower-case hex); answers whether it was. It is read for that, and
 * not written again.
 */
export async function nameVerified(
  bucket: R2Bucket,
  place: Place,
  sha256: string,
  damaged = false,
): Promise<boolean> {
  const found = await digestObject(bucket, place.key);
  if (found !== undefined && found !== sha256) return false;
  if (found !== undefined) await nameBytes(bucket, sha256, place, damaged);
  // Whoever did the same at the same time has named theirs, and cleared up behind both.
  else if ((await findBytes(bucket, sha256)) === undefined)
    throw new Error(`R2 object ${place.key} has vanished`);
  return true;
}

/**
 * Keeps a stream of known length under its hash if that is `sha256`; answers whether it was. R2 compares while it
 * takes the bytes in, so nothing is read again.
 */
export async function keepStream(
  bucket: R2Bucket,
  bytes: ReadableStream,
  sha256: string,
  damaged: boolean,
): Promise<boolean> {
  try {
    await bucket.put(objectKey(sha256), bytes, underHash(sha256, damaged));
    return true;
  } catch (error) {
    if (error instanceof Error && BAD_DIGEST.test(error.message)) return false;
    throw error;
  }
}

/** Joins the parts of an upload to its object; answers whether R2 still has them all. Joined before, that is a yes. */
export async function joinParts(
  bucket: R2Bucket,
  upload: { objectKey: string; multipartId: string },
  parts: R2UploadedPart[],
): Promise<boolean> {
  if ((await bucket.head(upload.objectKey)) !== null) return true;
  try {
    await bucket.resumeMultipartUpload(upload.objectKey, upload.multipartId).complete(parts);
    return true;
  } catch (error) {
    if (!areNoParts(error)) throw error;
    return (await bucket.head(upload.objectKey)) !== null;
  }
}
