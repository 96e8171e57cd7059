import { expect, it } from 'vitest';
import { downOf } from './health.ts';

it('a store that fails is down, and so is one that never answers', async () => {
  const checks = {
    fine: async () => 1,
    broken: () => Promise.reject(new Error('no route')),
    hanging: () => new Promise(() => undefined),
  };
  expect(await downOf(checks, 20)).toEqual(['broken', 'hanging']);
});
