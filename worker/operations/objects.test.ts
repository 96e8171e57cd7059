import { env } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { Env } from '../../durable-objects/env.ts';
import { objectKey } from '../../store/firmware.ts';
import { joinParts, keepVerified } from './objects.ts';

const { FIRMWARE: bucket } = env as unknown as Env;
const sum = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

async function begin(key: string) {
  const upload = await bucket.createMultipartUpload(key);
  return { upload, named: { objectKey: key, multipartId: upload.uploadId } };
}

describe('an upload that two requests end at once', () => {
  it('is joined once, and both are told so', async () => {
    const { upload, named } = await begin('uploads/twice');
    const parts = [await upload.uploadPart(1, random(100))];
    expect(await Promise.all([joinParts(bucket, named, parts), joinParts(bucket, named, parts)])).toEqual([
      true,
      true,
    ]);
  });

  it('is kept for both, though the first has cleared up already', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    await bucket.put('uploads/first', bytes);
    expect(await keepVerified(bucket, 'uploads/first', sha256)).toBe(true);
    await bucket.delete('uploads/first');
    expect(await keepVerified(bucket, 'uploads/first', sha256)).toBe(true);
  });
});

describe('bytes that are not what they should be', () => {
  it('are not kept, and what was verified before stays', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    await bucket.put('uploads/other', random(100));
    expect(await keepVerified(bucket, 'uploads/other', sha256)).toBe(false);
    expect(await bucket.head(objectKey(sha256))).toBeNull();
    await bucket.put('uploads/right', bytes);
    expect(await keepVerified(bucket, 'uploads/right', sha256)).toBe(true);
    expect(await keepVerified(bucket, 'uploads/other', sha256)).toBe(false);
    expect(await (await bucket.get(objectKey(sha256)))?.bytes()).toEqual(bytes);
  });

  it('are an error where they have vanished', async () => {
    await expect(keepVerified(bucket, 'uploads/none', await sum(random(9)))).rejects.toThrow(/has vanished/);
  });

  it('cannot be joined out of a part that another one has replaced', async () => {
    const { upload, named } = await begin('uploads/replaced');
    const first = await upload.uploadPart(1, random(100));
    await upload.uploadPart(1, random(100));
    expect(await joinParts(bucket, named, [first])).toBe(false);
  });
});
