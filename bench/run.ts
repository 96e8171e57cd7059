/**
 * `npm run bench`: ratios, each measured side by side with its baseline in one run, as medians of interleaved
 * pairs. Printed, and written to `bench/results.json`.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { MAX_BATCH_MESSAGES } from '../protocol/bridge.ts';
import { shardOf } from '../protocol/shards.ts';
import { publishFirmware } from '../test/publish.ts';
import { type Skylark, startSkylark } from '../test/skylark.ts';

const PAIRS = 5;
const pack = promisify(gzip);

interface Result {
  name: string;
  /** Median of the pairs' ratios. */
  ratio: number;
  goal: string;
  /** Medians, with their unit. */
  measured: string;
  baseline: string;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Both sides in turn, so that a machine that slows down slows both. Each answers how much it did per second. */
async function compare(
  name: string,
  goal: string,
  unit: string,
  side: () => Promise<number>,
  baseline: () => Promise<number>,
): Promise<Result> {
  await side();
  await baseline();
  const pairs: [number, number][] = [];
  for (let pair = 0; pair < PAIRS; pair += 1) pairs.push([await side(), await baseline()]);
  const show = (index: 0 | 1) => `${median(pairs.map((p) => p[index])).toFixed(1)} ${unit}`;
  return { name, goal, ratio: median(pairs.map(([a, b]) => a / b)), measured: show(0), baseline: show(1) };
}

async function perSecond(amount: number, work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return amount / ((performance.now() - started) / 1000);
}

/** Serial numbers that live in one shard, as a bridge would batch them. */
const serials = Array.from({ length: 20_000 }, (_, n) => `BENCH-${n}`)
  .filter((serial) => shardOf(serial) === 0)
  .slice(0, MAX_BATCH_MESSAGES);

async function ingest({ facts }: Skylark, group: readonly string[]): Promise<void> {
  const timestamp = Math.floor(Date.now() / 1000);
  const body = await pack(
    JSON.stringify({
      batch_id: randomUUID(),
      bridge_id: 'bench',
      shard: 0,
      topic: group.map((serial) => `devices/${serial}/heartbeat`),
      payload: group.map((serial_no) =>
        JSON.stringify({ serial_no, model: 'BENCH', current_firmware: 'v1.0.0', timestamp }),
      ),
      received_at: group.map(() => Date.now()),
    }),
  );
  const response = await fetch(`${facts.url}/ingest`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${facts.bridge_token}`,
      'Content-Encoding': 'gzip',
      'Content-Type': 'application/json',
    },
    body: new Uint8Array(body),
  });
  if (!response.ok) throw new Error(`ingest answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

const batches = (sky: Skylark) =>
  compare(
    'heartbeats in batches of 500 ÷ one by one',
    '≥ 50',
    'messages/s',
    () =>
      perSecond(20 * serials.length, async () => {
        for (let i = 0; i < 20; i += 1) await ingest(sky, serials);
      }),
    () =>
      perSecond(100, async () => {
        for (const serial of serials.slice(0, 100)) await ingest(sky, [serial]);
      }),
  );

async function downloads(sky: Skylark): Promise<Result> {
  const size = 5 * 1024 * 1024;
  const firmware = await publishFirmware(sky, 'v1.0.0', { model: 'BENCH', size });
  const link = await fetch(`${sky.facts.url}/api/v1/firmware/${firmware.id}/download`, {
    headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    redirect: 'manual',
  });
  const bytes = randomBytes(size);
  const plain = createServer((_, response) => response.end(bytes)).listen(0, '127.0.0.1');
  await once(plain, 'listening');
  const address = plain.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const take = (url: string) =>
    perSecond((10 * size) / 1e6, async () => {
      for (let i = 0; i < 10; i += 1) {
        const response = await fetch(url);
        if ((await response.arrayBuffer()).byteLength !== size) throw new Error('a download was cut short');
      }
    });
  try {
    const url = sky.facts.url + (link.headers.get('Location') ?? '');
    return await compare(
      '5 MB through Worker and R2 ÷ node:http from memory',
      '≥ 0.35',
      'MB/s',
      () => take(url),
      () => take(`http://127.0.0.1:${port}`),
    );
  } finally {
    plain.close();
    plain.closeAllConnections();
  }
}

const sky = await startSkylark();
try {
  const results = [await batches(sky), await downloads(sky)];
  for (const { name, ratio, goal, measured, baseline } of results) {
    process.stdout.write(
      `${ratio.toFixed(2).padStart(8)}  (goal ${goal})  ${name}: ${measured} ÷ ${baseline}\n`,
    );
  }
  writeFileSync(new URL('./results.json', import.meta.url), `${JSON.stringify(results, null, 2)}\n`);
} finally {
  await sky.stop();
}
