import { expect, it } from 'vitest';
import { campaignPolicy } from '../protocol/api.ts';
import { parseStages } from './campaign.ts';
import { policyOf } from './campaign-options.ts';

it('takes on the command line what a stage and its gate can be', () => {
  const stages = parseStages('1 device after 1 h, group beta at 98 %, 100 % manual', { minDuration: 60 });
  const said = {
    stages,
    ...policyOf({ minSample: 5, failureWeights: 'rollback=2, timeout=0.5', silenceGate: false }),
  };
  const policy = campaignPolicy.parse(JSON.parse(JSON.stringify(said)));
  expect(policy).toMatchObject({
    stages: [
      { name: '1 device', count: 1, min_duration_s: 3600 },
      { name: 'beta', group: 'beta', min_duration_s: 60, success_threshold: 98 },
      { name: '100 %', percentage: 100, min_duration_s: 60, start: 'manual' },
    ],
    min_sample: 5,
    failure_weights: { failed: 1, rollback: 2, timeout: 0.5, rejected: 1 },
    silence_gate: false,
  });
});

it('says which part of an option it does not understand', () => {
  expect(() => parseStages('10,most', {})).toThrow('--stages: "most" is no stage');
  expect(() => policyOf({ failureWeights: 'rolled_back=2' })).toThrow('rollback=2');
  expect(() => policyOf({ failureWeights: 'rollback' })).toThrow('rollback=2');
});
