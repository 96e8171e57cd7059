import { describe, expect, it } from 'vitest';
import { ProblemError } from '../problem.ts';
import { planOf } from './campaign-fields.ts';

describe('the form that makes a campaign', () => {
  it.each([{ stages: 'garbage' }, { own_stages: 'ten percent' }])('says what is no stage: %j', (fields) => {
    expect(() => planOf(fields)).toThrow(ProblemError);
  });
});
