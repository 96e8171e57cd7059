import { env } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { Env } from '../../durable-objects/env.ts';
import { readBytes } from '../../durable-objects/releases/read-bytes.ts';
import {
  deleteBytes,
  dropParts,
  findBytes,
  partKey,
  placeForParts,
  sweepParts,
} from '../../durable-objects/releases/stored-bytes.ts';
import { objectKey } from '../../store/firmware.ts';
import { nameVerified } from './objects.ts';

const { FIRMWARE: bucket } = env as unknown as Env;
const sum = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

/** Puts bytes as parts of 40; answers where they lie. */
async function put(bytes: Uint8Array<ArrayBuffer>) {
  const prefix = placeForParts();
  const pieces = [];
  for (let at = 0; at < bytes.length; at += 40) {
    const part = bytes.slice(at, at + 40);
    const key = partKey(prefix, at / 40 + 1);
    await bucket.put(key, part);
    pieces.push({ key, size: part.length });
  }
  return { prefix, place: { size: bytes.length, pieces } };
}

async function read(sha256: string): Promise<Uint8Array | undefined> {
  const place = await findBytes(bucket, sha256);
  const body = place && (await readBytes(bucket, place));
  return body && new Uint8Array(await new Response(body).arrayBuffer());
}

const countUnder = async (prefix: string) => (await bucket.list({ prefix })).objects.length;

describe('bytes in several parts', () => {
  it('are read whole and in any part, as they were put', async () => {
    const bytes = random(100);
    const { place } = await put(bytes);
    for (const [offset, length] of [
      [0, 100],
      [0, 40],
      [39, 2],
      [40, 40],
      [79, 21],
      [99, 1],
    ] as const) {
      const body = await readBytes(bucket, place, { offset, length });
      expect(new Uint8Array(await new Response(body ?? null).arrayBuffer())).toEqual(
        bytes.slice(offset, offset + length),
      );
    }
  });

  it('break off where a part has vanished, and are not there without their first', async () => {
    const { place } = await put(random(100));
    const [first, second] = place.pieces;
    await bucket.delete(second?.key ?? '');
    const body = await readBytes(bucket, place);
    await expect(new Response(body ?? null).arrayBuffer()).rejects.toThrow();
    await bucket.delete(first?.key ?? '');
    expect(await readBytes(bucket, place)).toBeUndefined();
  });

  it('are found where R2 has joined them, as it once did', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    await bucket.put('uploads/joined', bytes);
    await bucket.put(objectKey(sha256), '', { customMetadata: { at: 'uploads/joined', size: '100' } });
    expect(await read(sha256)).toEqual(bytes);
    await sweepParts(bucket, new Date(Date.now() + 1000));
    expect(await read(sha256)).toEqual(bytes);
    await deleteBytes(bucket, sha256);
    expect(await bucket.head('uploads/joined')).toBeNull();
  });
});

describe('an upload that two requests end at once', () => {
  it('is kept for both, though the first has named its own and cleared up already', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    const [first, second] = [await put(bytes), await put(bytes)];
    for (const { place } of [first, second])
      expect(await nameVerified(bucket, place, sha256, false)).toBe(true);
    for (const { prefix } of [second, first]) await dropParts(bucket, prefix, sha256);
    expect([await countUnder(first.prefix), await countUnder(second.prefix)]).toEqual([3, 0]);
    expect(await nameVerified(bucket, second.place, sha256, false)).toBe('missing');
    expect(await read(sha256)).toEqual(bytes);
  });
});

describe('bytes that are not what they should be', () => {
  it('get no name, and what was verified before stays', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    const other = await put(random(100));
    expect(await nameVerified(bucket, other.place, sha256, false)).toBe(false);
    expect(await findBytes(bucket, sha256)).toBeUndefined();
    expect(await nameVerified(bucket, (await put(bytes)).place, sha256, false)).toBe(true);
    expect(await nameVerified(bucket, other.place, sha256, false)).toBe(false);
    expect(await read(sha256)).toEqual(bytes);
  });

  it('get no name where some of them are missing', async () => {
    const bytes = random(100);
    const { place } = await put(bytes);
    await bucket.delete(place.pieces[2]?.key ?? '');
    expect(await nameVerified(bucket, place, await sum(bytes), false)).toBe('missing');
  });

  it('give their name away when they are damaged, and are gone', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    const [sound, mended] = [await put(bytes), await put(bytes)];
    expect(await nameVerified(bucket, sound.place, sha256, false)).toBe(true);
    await bucket.put(sound.place.pieces[1]?.key ?? '', random(40));
    expect(await nameVerified(bucket, mended.place, sha256, true)).toBe(true);
    expect(await read(sha256)).toEqual(bytes);
    expect(await countUnder(sound.prefix)).toBe(0);
  });
});

describe('a list of parts that is damaged', () => {
  const damaged = ['', '{"pieces":', '{"pieces":[]}', '{"pieces":[{"key":"uploads/x/1","size":7}]}'];
  it.each(damaged)('%s is no place, is mended by the same file, and goes with its parts', async (list) => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    const first = await put(bytes);
    await nameVerified(bucket, first.place, sha256, false);
    const spoil = async () => {
      const customMetadata = (await bucket.head(objectKey(sha256)))?.customMetadata ?? {};
      await bucket.put(objectKey(sha256), list, { customMetadata });
    };
    await spoil();
    expect(await findBytes(bucket, sha256)).toEqual({ size: 100, pieces: [] });
    expect(await read(sha256)).toBeUndefined();
    await dropParts(bucket, first.prefix, sha256);
    await sweepParts(bucket, new Date(Date.now() + 1000));
    expect(await countUnder(first.prefix)).toBe(3);
    const again = await put(bytes);
    expect(await nameVerified(bucket, again.place, sha256, true)).toBe(true);
    expect(await read(sha256)).toEqual(bytes);
    await sweepParts(bucket, new Date(Date.now() + 1000));
    expect([await countUnder(first.prefix), await countUnder(again.prefix)]).toEqual([0, 3]);
    await spoil();
    await deleteBytes(bucket, sha256);
    expect([await bucket.head(objectKey(sha256)), await countUnder(again.prefix)]).toEqual([null, 0]);
  });
});

describe('parts', () => {
  it('are swept away when they are old and belong to no name, and stay where they do', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    const [kept, left] = [await put(bytes), await put(random(100))];
    await nameVerified(bucket, kept.place, sha256, false);
    await sweepParts(bucket, new Date(0));
    expect(await countUnder(left.prefix)).toBe(3);
    await sweepParts(bucket, new Date(Date.now() + 1000));
    expect(await countUnder(left.prefix)).toBe(0);
    expect(await read(sha256)).toEqual(bytes);
  });

  it('are deleted with their name', async () => {
    const bytes = random(100);
    const sha256 = await sum(bytes);
    const { prefix, place } = await put(bytes);
    await nameVerified(bucket, place, sha256, false);
    await deleteBytes(bucket, sha256);
    expect(await findBytes(bucket, sha256)).toBeUndefined();
    expect(await countUnder(prefix)).toBe(0);
  });
});
