/** Bytes up: what CI's command takes to have firmware verified and in the catalogue, against a bare `PUT` into R2. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiClient } from '../../cli/api-client.ts';
import { upload } from '../../cli/firmware.ts';
import { startSkylark } from '../../test/skylark.ts';
import { type Bench, compare, perSecond } from '../compare.ts';
import { MIB } from './published.ts';

/**
 * The raw side is a `PUT` through the same workerd into the same R2: nobody's sums, parts or catalogue.
 */
export const uploadsBench: Bench = async () => {
  const sky = await startSkylark({ workerEntry: 'bench/worker.ts' });
  const directory = mkdtempSync(join(tmpdir(), 'skylark-bench-'));
  const file = join(directory, 'firmware.bin');
  const api = new ApiClient(sky.facts.url, sky.facts.api_key);
  let bytes = new Uint8Array();
  let versions = 0;
  const ours = (size: number) => () => {
    bytes = new Uint8Array(randomBytes(size));
    writeFileSync(file, bytes);
    versions += 1;
    const named = { version: `v1.0.${versions}`, model: 'BENCH', kind: 'firmware', release_notes: '' };
    return perSecond(size / 1e6, async () => void (await upload(api, file, named)));
  };
  const raw = (size: number) => () =>
    perSecond(size / 1e6, async () => {
      const response = await fetch(`${sky.facts.url}/bench/raw`, { method: 'PUT', body: bytes });
      await response.text();
      if (!response.ok) throw new Error(`the raw PUT was answered ${response.status}`);
    });
  try {
    const results = [];
    for (const size of [5 * MIB, 100 * MIB]) {
      const name = `upload of ${size / MIB} MiB ÷ a bare PUT of the same bytes into R2`;
      results.push(await compare(name, '≥ 0.7', 'MB/s', ours(size), raw(size)));
    }
    return results;
  } finally {
    rmSync(directory, { recursive: true });
    await sky.stop();
  }
};
