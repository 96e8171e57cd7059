import { env } from 'cloudflare:test';
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import type { Env } from '../env.ts';
import { digestObject } from './digest.ts';

const { FIRMWARE: bucket } = env as unknown as Env;
const MIB = 1024 * 1024;

it.each([0, 1, MIB - 1, MIB, MIB + 1, 2.5 * MIB])(
  'the sum of an object of %i bytes is that of its bytes',
  async (size) => {
    const bytes = new Uint8Array(size).map((_, i) => (i * 31) >> 3);
    await bucket.put(`digest/${size}`, bytes);
    expect(await digestObject(bucket, `digest/${size}`)).toBe(
      createHash('sha256').update(bytes).digest('hex'),
    );
  },
);

it('an object that is not there has no sum', async () => {
  expect(await digestObject(bucket, 'digest/none')).toBeUndefined();
});
