/** The SHA-256 of an object in R2, lower-case hex, read as a stream; `undefined` where there is none. */
export async function digestObject(bucket: R2Bucket, key: string): Promise<string | undefined> {
  const object = await bucket.get(key);
  if (object === null) return undefined;
  const digest = new crypto.DigestStream('SHA-256');
  await object.body.pipeTo(digest);
  return hex(await digest.digest);
}

export const hex = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString('hex');
