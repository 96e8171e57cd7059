/** SHA-256 over streams. */

/** The runtime hands out small pieces, each by a call of its own: fewer, larger ones take a fraction of the time. */
const PIECE_BYTES = 1024 * 1024;

/** The SHA-256 of an object in R2, lower-case hex, read as a stream; `undefined` where there is none. */
export async function digestObject(bucket: R2Bucket, key: string): Promise<string | undefined> {
  const object = await bucket.get(key);
  if (object === null) return undefined;
  const digest = new crypto.DigestStream('SHA-256');
  const writer = digest.getWriter();
  const reader = object.body.getReader({ mode: 'byob' });
  for (let buffer = new ArrayBuffer(PIECE_BYTES); ; ) {
    const { done, value } = await reader.readAtLeast(PIECE_BYTES, new Uint8Array(buffer));
    if (done) break;
    await writer.write(value);
    buffer = value.buffer;
  }
  await writer.close();
  return hex(await digest.digest);
}

export const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');
