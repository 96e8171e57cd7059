/**
 * `npm run bench [-- NAME …] [--devices N …]`: ratios, each measured side by side with its baseline in one run, as medians of
 * interleaved pairs. Printed as they come, and written to `bench/results.json` when all have run.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { memoryBench } from './bridge/memory.ts';
import { outageBench } from './bridge/outage.ts';
import { bridgeBench } from './bridge/throughput.ts';
import { pageBench } from './campaigns/page.ts';
import { reportsBench } from './campaigns/reports.ts';
import { scaleBench } from './campaigns/scale.ts';
import { watchersBench } from './campaigns/watchers.ts';
import { commandsBench } from './commands.ts';
import type { Bench, Result } from './compare.ts';
import { billableBench } from './cost/billable.ts';
import { costModelBench } from './cost/cost-model.ts';
import { downloadsBench } from './firmware/downloads.ts';
import { memoryBench as firmwareMemoryBench } from './firmware/memory.ts';
import { uploadsBench } from './firmware/uploads.ts';
import { ingestBench } from './ingest.ts';
import { upsertBench } from './ledger/upsert.ts';
import { walBench } from './ledger/wal.ts';

const benches: Record<string, Bench> = {
  ingest: ingestBench,
  bridge: bridgeBench,
  'bridge-memory': memoryBench,
  outage: outageBench,
  commands: commandsBench,
  upsert: upsertBench,
  wal: walBench,
  billable: billableBench,
  'cost-model': costModelBench,
  'firmware-downloads': downloadsBench,
  'firmware-uploads': uploadsBench,
  'firmware-memory': firmwareMemoryBench,
  'campaign-reports': reportsBench,
  'campaign-watchers': watchersBench,
  'campaign-page': pageBench,
  'campaign-scale': scaleBench,
};

const { positionals: wanted, values } = parseArgs({
  allowPositionals: true,
  options: { devices: { type: 'string', multiple: true, default: ['10', '10000', '1000000'] } },
});
const devices = values.devices.map(Number);
if (!devices.every((n) => Number.isSafeInteger(n) && n > 0)) {
  process.stderr.write('bench: --devices takes a number of devices, 1 or more\n');
  process.exit(2);
}
const unknown = wanted.find((name) => !(name in benches));
if (unknown !== undefined) {
  process.stderr.write(`bench: there is no '${unknown}': ${Object.keys(benches).join(', ')}\n`);
  process.exit(2);
}
const results: Result[] = [];
for (const [name, bench] of Object.entries(benches)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  try {
    for (const result of await bench({ devices })) {
      results.push(result);
      process.stdout.write(
        `${result.ratio.toFixed(2).padStart(8)}  (goal ${result.goal})  ${result.name}: ${result.measured} ÷ ${result.baseline}\n`,
      );
    }
  } catch (error) {
    // The others are measured all the same, and what was measured is kept.
    process.stderr.write(`bench: ${name} failed: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 1;
  }
}
if (wanted.length === 0)
  writeFileSync(new URL('./results.json', import.meta.url), `${JSON.stringify(results, null, 2)}\n`);
