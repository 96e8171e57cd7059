import { env } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { Env } from '../../durable-objects/env.ts';
import {
  deleteBytes,
  dropJoined,
  findBytes,
  sweepJoined,
} from '../../durable-objects/releases/stored-bytes.ts';
import { joinParts, nameVerified } from './objects.ts';

const { FIRMWARE: bucket } = env as unknown as Env;
const sum = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

const placed = (key: string) => ({ key, size: 100 });

async function read(sha256: string): Promise<Uint8Array | undefined> {
  const place = await findBytes(bucket, sha256);
  return place && (await bucket.get(place.key))?.bytes();
}

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

  it('is kept for both, though the first has named its own and cleared up already', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    await bucket.put('uploads/first', bytes);
    await bucket.put('uploads/second', bytes);
    expect(await nameVerified(bucket, placed('uploads/first'), sha256)).toBe(true);
    expect(await nameVerified(bucket, placed('uploads/second'), sha256)).toBe(true);
    await dropJoined(bucket, 'uploads/second', sha256);
    await dropJoined(bucket, 'uploads/first', sha256);
    expect(await bucket.head('uploads/second')).toBeNull();
    expect(await nameVerified(bucket, placed('uploads/second'), sha256)).toBe(true);
    expect(await read(sha256)).toEqual(bytes);
  });
});

describe('bytes that are not what they should be', () => {
  it('get no name, and what was verified before stays', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    await bucket.put('uploads/other', random(100));
    expect(await nameVerified(bucket, placed('uploads/other'), sha256)).toBe(false);
    expect(await findBytes(bucket, sha256)).toBeUndefined();
    await bucket.put('uploads/right', bytes);
    expect(await nameVerified(bucket, placed('uploads/right'), sha256)).toBe(true);
    expect(await nameVerified(bucket, placed('uploads/other'), sha256)).toBe(false);
    expect(await read(sha256)).toEqual(bytes);
  });

  it('are an error where they have vanished', async () => {
    const sha256 = await sum(random(9));
    await expect(nameVerified(bucket, placed('uploads/none'), sha256)).rejects.toThrow(/has vanished/);
  });

  it('give their name away when they are damaged, and are gone', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    await bucket.put('uploads/sound', bytes);
    expect(await nameVerified(bucket, placed('uploads/sound'), sha256)).toBe(true);
    await bucket.put('uploads/sound', random(100));
    await bucket.put('uploads/mended', bytes);
    expect(await nameVerified(bucket, placed('uploads/mended'), sha256, true)).toBe(true);
    expect(await read(sha256)).toEqual(bytes);
    expect(await bucket.head('uploads/sound')).toBeNull();
  });

  it('cannot be joined out of a part that another one has replaced', async () => {
    const { upload, named } = await begin('uploads/replaced');
    const first = await upload.uploadPart(1, random(100));
    await upload.uploadPart(1, random(100));
    expect(await joinParts(bucket, named, [first])).toBe(false);
  });
});

describe('what was joined', () => {
  it('is swept away when it is old and has no name, and stays where it has one', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    await bucket.put('uploads/kept', bytes);
    await bucket.put('uploads/left', random(100));
    await nameVerified(bucket, placed('uploads/kept'), sha256);
    await sweepJoined(bucket, new Date(0));
    expect(await bucket.head('uploads/left')).not.toBeNull();
    await sweepJoined(bucket, new Date(Date.now() + 1000));
    expect(await bucket.head('uploads/left')).toBeNull();
    expect(await read(sha256)).toEqual(bytes);
  });

  it('is deleted with its name', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    await bucket.put('uploads/deleted', bytes);
    await nameVerified(bucket, placed('uploads/deleted'), sha256);
    await deleteBytes(bucket, sha256);
    expect(await findBytes(bucket, sha256)).toBeUndefined();
    expect(await bucket.head('uploads/deleted')).toBeNull();
  });
});
