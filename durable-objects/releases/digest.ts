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

/**
 * Writes a stream to another that is as long, if its SHA-256 is the one expected (lower-case hex); answers whether it
 * was. Where it was not, the last piece is held back and the other stream breaks off: nobody takes it for whole.
 */
export async function copyVerified(
  from: ReadableStream,
  to: WritableStream,
  sha256: string,
): Promise<boolean> {
  const digest = new crypto.DigestStream('SHA-256');
  const [hasher, writer] = [digest.getWriter(), to.getWriter()];
  let held = new Uint8Array();
  for await (const piece of inPieces(from, PIECE_BYTES)) {
    await writer.write(held);
    await hasher.write(piece);
    held = new Uint8Array(piece);
  }
  await hasher.close();
  const isRight = hex(await digest.digest) === sha256;
  if (isRight) {
    await writer.write(held);
    await writer.close();
  } else await writer.abort(new Error('the bytes are damaged'));
  return isRight;
}

export const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');
