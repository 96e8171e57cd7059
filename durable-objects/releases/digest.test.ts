import { env } from 'cloudflare:test';
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import type { Env } from '../env.ts';
import { digestObjects } from './digest.ts';

const { FIRMWARE: bucket } = env as unknown as Env;
const MIB = 1024 * 1024;

it.each([0, 1, MIB - 1, MIB, MIB + 1, 2.5 * MIB])(
  'the sum of an object of %i bytes is that of its bytes',
  async (size) => {
    const bytes = new Uint8Array(size).map((_, i) => (i * 31) >> 3);
    await bucket.put(`digest/${size}`, bytes);
    expect(await digestObjects(bucket, [{ key: `digest/${size}`, size }])).toBe(
      createHash('sha256').update(bytes).digest('hex'),
    );
  },
);

it('an object that is not there has no sum', async () => {
  expect(await digestObjects(bucket, [{ key: 'digest/none' }])).toBeUndefined();
});

it('of several objects it is the sum of all their bytes, and none where one is missing', async () => {
  const parts = [1, MIB, 7].map((size, n) => new Uint8Array(size).fill(n + 1));
  for (const [n, part] of parts.entries()) await bucket.put(`digest/part-${n}`, part);
  const keys = parts.map(({ length: size }, n) => ({ key: `digest/part-${n}`, size }));
  expect(await digestObjects(bucket, keys)).toBe(
    createHash('sha256').update(Buffer.concat(parts)).digest('hex'),
  );
  expect(await digestObjects(bucket, [...keys, { key: 'digest/none' }])).toBeUndefined();
  await expect(digestObjects(bucket, [{ key: 'digest/part-0', size: 2 }])).rejects.toThrow(/1 bytes/);
});
