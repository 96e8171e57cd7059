import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batchSize, type Fleet, type Measured, monthlyCost, monthlyOperations, total } from './model.ts';

const none = { requests: 0, object_calls: 0, alarms: 0, rows_written: 0, redis: 0, sql: 0, log_lines: 0 };
const measured: Measured = {
  batch: { ...none, requests: 1, object_calls: 1 },
  alarm: { ...none, alarms: 1, rows_written: 2 },
  update: { ...none, requests: 6, object_calls: 14, rows_written: 37, redis: 2, sql: 7 },
};
const fleetOf = (devices: number): Fleet => ({ devices, heartbeat_s: 300, updates_a_month: 1 });
const million = fleetOf(1_000_000);
const cost = (fleet: Fleet) => monthlyCost(fleet, monthlyOperations(fleet, measured), 'idle when they are');

describe('the cost model', () => {
  it('sends the heartbeats of a large fleet in full batches, those of a small one nearly one by one', () => {
    expect(batchSize(million)).toBe(500);
    expect(batchSize(fleetOf(10))).toBeCloseTo(1.006, 3);
  });

  it('counts a million devices: 17.28 million batches, 4.15 million alarms, a million updates', () => {
    const operations = monthlyOperations(million, measured);
    expect(operations.requests).toBeCloseTo(17_280_000 + 6_000_000, 0);
    expect(operations.alarms).toBeCloseTo((16 * 2_592_000) / 10, 0);
    expect(operations.rows_written).toBeCloseTo(2 * 4_147_200 + 37_000_000, 0);
  });

  it('charges only what is above the included amount', () => {
    const usd = Object.fromEntries(cost(million).map((line) => [line.what, line.usd]));
    expect(usd.worker_requests).toBeCloseTo((23.28 - 10) * 0.3, 5);
    expect(usd.object_requests).toBeCloseTo((17.28 + 14 + 4.1472 - 1) * 0.15, 5);
    expect(usd.object_rows_written).toBe(0);
    expect(usd.redis_commands).toBeCloseTo(4, 5);
  });

  it('charges at most what sixteen objects cost that never sleep', () => {
    const lines = monthlyCost(million, monthlyOperations(million, measured), 'never idle');
    expect(lines.find(({ what }) => what === 'object_gb_s')?.usd).toBeCloseTo(61.36, 2);
  });

  it('never lets a larger fleet cost less', () => {
    const devices = fc.integer({ min: 1, max: 5_000_000 });
    fc.assert(
      fc.property(devices, devices, (a, b) => {
        const [small, large] = [Math.min(a, b), Math.max(a, b)];
        expect(total(cost(fleetOf(small)))).toBeLessThanOrEqual(total(cost(fleetOf(large))) + 1e-9);
      }),
    );
  });
});
