/** Objects in R2: verified, and only then named by their hash, once. */
import { digestBytes } from '../../durable-objects/releases/digest.ts';
import { nameBytes, type Place } from '../../durable-objects/releases/stored-bytes.ts';
import { objectKey } from '../../store/firmware.ts';

/** All parts but the last have this size; a Worker takes at most 100 MB in one request. */
export const PART_BYTES = 8 * 1024 * 1024;

/** The most bytes of one firmware: one request reads and verifies them all. */
export const LARGEST_BYTES = 4_995 * 1024 * 1024;

/** R2's number for bytes that have another sum. */
const BAD_DIGEST = /\b10037\b/;

/** How bytes are put under their hash: R2 verifies it, and writes over nothing but what is `damaged`. */
export const underHash = (sha256: string, damaged: boolean): R2PutOptions =>
  damaged ? { sha256 } : { sha256, onlyIf: { etagDoesNotMatch: '*' } };

/** Names stored parts by their hash if that is `sha256` (lower-case hex); answers whether it was, or that some are missing. */
export async function nameVerified(
  bucket: R2Bucket,
  place: Place,
  sha256: string,
  damaged: boolean,
): Promise<boolean | 'missing'> {
  const found = await digestBytes(bucket, place);
  if (found === undefined) return 'missing';
  if (found === sha256) await nameBytes(bucket, sha256, place, damaged);
  return found === sha256;
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
