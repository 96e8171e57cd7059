import { describe, expect, it } from 'vitest';
import { duration } from './format.ts';

describe('a duration', () => {
  it.each([
    [0, '0 s'],
    [0.44, '0.4 s'],
    [9.96, '10 s'],
    [59.6, '1 min'],
    [200, '3 min 20 s'],
    [3600, '1 h'],
    [3605, '1 h'],
    [7500, '2 h 5 min'],
    [90_000, '1 d 1 h'],
  ])('of %d s reads %s', (seconds, words) => {
    expect(duration(seconds)).toBe(words);
  });
});
