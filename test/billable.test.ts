import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { alarms, arrive, costOf, heartbeats, reset, steadyFleet } from './billable/count.ts';
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
    const fleet = steadyFleet();
    await arrive(sky, fleet);
    await heartbeats(sky, fleet);
    await alarms(sky);
    // A shard with nothing to do loses its memory; one of a million devices never has nothing to do.
    await heartbeats(sky, fleet);
    await reset(sky);
    const rounds = 4;
    for (let round = 0; round < rounds; round += 1) await heartbeats(sky, fleet);
    const batches = await reset(sky);
    const cost = costOf(batches, rounds * fleet.length, await alarms(sky), HEARTBEATS_PER_SECOND);
    console.log(JSON.stringify(cost));
    expect(cost.sql).toBe(0);
    expect(cost.redis).toBe(0);
    expect(cost.log_lines).toBe(0);
    expect(cost.total).toBeLessThanOrEqual(6);
  });
});
