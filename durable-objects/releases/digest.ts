/** SHA-256 over streams. */
import { inPieces } from '../in-pieces.ts';
import type { Place } from './stored-bytes.ts';

const PIECE_BYTES = 1024 * 1024;

/**
 * The SHA-256 of objects in R2 one after the other, lower-case hex, read as streams; `undefined` where one is missing.
 * Throws where one has another size than it should.
 */
export async function digestObjects(
  bucket: R2Bucket,
  objects: readonly { key: string; size?: number }[],
): Promise<string | undefined> {
  const digest = new crypto.DigestStream('SHA-256');
  const writer = digest.getWriter();
  let isWhole = false;
  try {
    for (const { key, size } of objects) {
      const object = await bucket.get(key);
      if (object === null) return undefined;
      if (size !== undefined && object.size !== size)
        throw new Error(`${key} has ${object.size} bytes in place of ${size}`);
      for await (const piece of inPieces(object.body, PIECE_BYTES)) await writer.write(piece);
    }
    isWhole = true;
  } finally {
    if (!isWhole) {
      digest.digest.catch(() => undefined);
      await writer.abort();
    }
  }
  await writer.close();
  return hex(await digest.digest);
}

/** The SHA-256 of stored bytes; `undefined` where some of them are missing. */
export const digestBytes = (bucket: R2Bucket, { pieces }: Place): Promise<string | undefined> =>
  digestObjects(bucket, pieces);

export const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');
