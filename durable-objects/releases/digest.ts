/** SHA-256 over streams. */
import { inPieces } from '../in-pieces.ts';
import type { Place } from './stored-bytes.ts';

const PIECE_BYTES = 1024 * 1024;

/** The SHA-256 of objects in R2 one after the other, lower-case hex, read as streams; `undefined` where one is missing. */
export async function digestObjects(bucket: R2Bucket, keys: readonly string[]): Promise<string | undefined> {
  const digest = new crypto.DigestStream('SHA-256');
  const writer = digest.getWriter();
  let isWhole = false;
  try {
    for (const key of keys) {
      const object = await bucket.get(key);
      if (object === null) return undefined;
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
  digestObjects(
    bucket,
    pieces.map(({ key }) => key),
  );

export const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');
