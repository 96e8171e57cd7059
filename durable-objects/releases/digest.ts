/** SHA-256 over streams. */
import { inPieces } from '../in-pieces.ts';

const PIECE_BYTES = 1024 * 1024;

/** The SHA-256 of an object in R2, lower-case hex, read as a stream; `undefined` where there is none. */
export async function digestObject(bucket: R2Bucket, key: string): Promise<string | undefined> {
  const object = await bucket.get(key);
  if (object === null) return undefined;
  const digest = new crypto.DigestStream('SHA-256');
  const writer = digest.getWriter();
  for await (const piece of inPieces(object.body, PIECE_BYTES)) await writer.write(piece);
  await writer.close();
  return hex(await digest.digest);
}

export const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');
