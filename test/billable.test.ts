import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { costOfHeartbeats, perThousand } from './billable/count.ts';
import { type Skylark, startSkylark } from './skylark.ts';

/** A million devices, a heartbeat each 5 minutes. */
const HEARTBEATS_PER_SECOND = 1_000_000 / 300;

describe('what a heartbeat costs', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark({ workerEntry: 'test/billable/worker.ts' });
  });
  afterAll(() => sky.stop());

  it('is at most 6 billable operations per 1,000, with the clocks of a million devices counted in', async () => {
    const { total, ...cost } = perThousand(await costOfHeartbeats(sky), HEARTBEATS_PER_SECOND);
    expect(cost.sql).toBe(0);
    expect(cost.redis).toBe(0);
    expect(cost.log_lines).toBe(0);
    expect(total).toBeLessThanOrEqual(6);
  });
});
