/** Bytes down: what a device gets through the Worker, R2 and the edge cache, against a server that only has files. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Skylark, startSkylark } from '../../test/skylark.ts';
import { type Bench, compare, median, perSecond, type Result } from '../compare.ts';
import { type HttpClient, openClient } from './http-client.ts';
import { cached, MIB, type Published, publishBytes } from './published.ts';
import { type StaticServer, serveDirectory } from './static-server.ts';

const SMALL = 5 * MIB;
const LARGE = 100 * MIB;
const FRESH_PAIRS = 5;

/** MB/s of a file read whole, so often. */
const whole = (client: HttpClient, path: string, size: number, times: number) => () =>
  perSecond((times * size) / 1e6, async () => {
    for (let i = 0; i < times; i += 1) expectBytes(await client.get(path), size);
  });

/** MB/s of a file read in ranges of 1 MiB, one after the other. */
const inRanges = (client: HttpClient, path: string, size: number) => () =>
  perSecond(size / 1e6, async () => {
    for (let offset = 0; offset < size; offset += MIB)
      expectBytes(await client.get(path, { offset, length: MIB }), MIB);
  });

function expectBytes(got: number, wanted: number): void {
  if (got !== wanted) throw new Error(`${got} bytes came instead of ${wanted}`);
}

export const downloadsBench: Bench = async () => {
  const directory = mkdtempSync(join(tmpdir(), 'skylark-bench-'));
  for (const size of [SMALL, LARGE]) writeFileSync(join(directory, `${size}`), randomBytes(size));
  const sky = await startSkylark({ workerEntry: 'bench/worker.ts' });
  const files = await serveDirectory(directory);
  const clients = { ours: await openClient(sky.facts.url), theirs: await openClient(files.url) };
  try {
    const large = await publishBytes(sky, LARGE);
    return [
      ...(await againstFiles(sky, clients, files, large)),
      ...(await ranges(clients, files, large)),
      await secondAgainstFirst(sky, clients.ours, SMALL),
      await secondAgainstFirst(sky, clients.ours, LARGE),
    ];
  } finally {
    clients.ours.close();
    clients.theirs.close();
    await files.stop();
    await sky.stop();
    rmSync(directory, { recursive: true });
  }
};

interface Clients {
  ours: HttpClient;
  theirs: HttpClient;
}

async function againstFiles(
  sky: Skylark,
  { ours, theirs }: Clients,
  files: StaticServer,
  large: Published,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const [published, times] of [
    [await publishBytes(sky, SMALL), 20],
    [large, 2],
  ] as const) {
    const { path, size } = published;
    await ours.get(path);
    await cached(sky, published);
    const name = `${size / MIB} MiB through the Worker ÷ ${files.name}`;
    const [side, baseline] = [whole(ours, path, size, times), whole(theirs, `/${size}`, size, times)];
    results.push(await compare(name, '≥ 0.5', 'MB/s', side, baseline));
  }
  return results;
}

/** A range costs a request; what that costs without us is beside it. */
async function ranges({ ours, theirs }: Clients, files: StaticServer, { path, size, sha256 }: Published) {
  const side = inRanges(ours, path, size);
  const bare = inRanges(ours, `/bench/cached/${sha256}`, size);
  return [
    await compare('ranges of 1 MiB ÷ all at once', '≥ 0.8', 'MB/s', side, whole(ours, path, size, 1)),
    await compare(
      'ranges of 1 MiB ÷ those of a Worker that only reads its cache',
      '≥ 0.8',
      'MB/s',
      side,
      bare,
    ),
    await compare(
      `ranges of 1 MiB ÷ all at once, of ${files.name} itself`,
      'none',
      'MB/s',
      inRanges(theirs, `/${size}`, size),
      whole(theirs, `/${size}`, size, 1),
    ),
  ];
}

/** A firmware's first download comes out of R2 while the edge makes its own copy, the second out of that. */
async function secondAgainstFirst(sky: Skylark, client: HttpClient, size: number): Promise<Result> {
  const pairs: [number, number][] = [];
  for (let pair = 0; pair < FRESH_PAIRS; pair += 1) {
    const published = await publishBytes(sky, size);
    const read = whole(client, published.path, size, 1);
    const first = await read();
    await cached(sky, published);
    pairs.push([await read(), first]);
  }
  const middle = (index: 0 | 1) => `${median(pairs.map((pair) => pair[index])).toFixed(1)} MB/s`;
  return {
    name: `second download of ${size / MIB} MiB ÷ the first`,
    ratio: median(pairs.map(([second, first]) => second / first)),
    goal: '≥ 1',
    measured: middle(0),
    baseline: middle(1),
  };
}
