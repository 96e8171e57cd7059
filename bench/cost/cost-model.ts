/** Operations counted here and now, in dollars a month for fleets of any size. */
import { costOfHeartbeats } from '../../test/billable/count.ts';
import { costOfUpdates } from '../../test/billable/updates.ts';
import { startSkylark } from '../../test/skylark.ts';
import type { Bench, Result } from '../compare.ts';
import { type Line, type Measured, monthlyCost, monthlyOperations, total } from './model.ts';
import { PRICES_AS_OF } from './prices.ts';

const HEARTBEAT_S = 300;
const MILLION = 1_000_000;

export const costModelBench: Bench = async ({ devices }) => {
  const measured = await measure();
  const columns = devices.map((n) => ({ devices: n, ...costs(n, measured) }));
  const table = columns[0]?.usual.map(({ what }, row) => [
    what,
    ...columns.map(({ usual }) => dollars(usual[row]?.usd)),
  ]);
  print([
    ['dollars a month', ...columns.map((column) => `${column.devices.toLocaleString('en')} devices`)],
    ...(table ?? []),
    ['together', ...columns.map(({ usual }) => dollars(total(usual)))],
    ['a device', ...columns.map((column) => dollars(total(column.usual) / column.devices, 6))],
    ['with shards that never idle', ...columns.map(({ worst }) => dollars(total(worst)))],
  ]);
  process.stdout.write(
    `Prices of ${PRICES_AS_OF}; a heartbeat each ${HEARTBEAT_S} s and an update a month for each device; without the MQTT broker and the bridge's machine.\n`,
  );
  return [ofAMillion(measured)];
};

/** At the edge that counts. */
async function measure(): Promise<Measured> {
  const sky = await startSkylark({ workerEntry: 'test/billable/worker.ts' });
  try {
    return { ...(await costOfHeartbeats(sky)), update: await costOfUpdates(sky) };
  } finally {
    await sky.stop();
  }
}

function costs(devices: number, measured: Measured): { usual: Line[]; worst: Line[] } {
  const fleet = { devices, heartbeat_s: HEARTBEAT_S, updates_a_month: 1 };
  const operations = monthlyOperations(fleet, measured);
  return {
    usual: monthlyCost(fleet, operations, 'idle when they are'),
    worst: monthlyCost(fleet, operations, 'never idle'),
  };
}

function ofAMillion(measured: Measured): Result {
  const { usual, worst } = costs(MILLION, measured);
  return {
    name: 'dollars a month for a million devices',
    goal: '≤ 200',
    ratio: total(usual),
    measured: `$${dollars(total(usual))}, at most $${dollars(total(worst))}`,
    baseline: `${MILLION.toLocaleString('en')} devices: $${dollars(total(usual) / MILLION, 6)} each`,
  };
}

const dollars = (usd = 0, digits = 2): string => usd.toFixed(digits);

function print(rows: readonly string[][]): void {
  for (const [name = '', ...cells] of rows)
    process.stdout.write(`${name.padEnd(28)}${cells.map((cell) => cell.padStart(19)).join('')}\n`);
}
