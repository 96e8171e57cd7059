/** Whether downloads are streamed: what workerd holds while 50 devices take 100 MB each, against one. */
import { readFileSync } from 'node:fs';
import { type Skylark, startSkylark } from '../../test/skylark.ts';
import type { Bench } from '../compare.ts';
import { openClient } from './http-client.ts';
import { MIB, publishBytes } from './published.ts';

const DEVICES = 50;
const SIZE = 100 * MIB;
const LOOK_MS = 20;

/** Resident memory, in MiB. */
function memoryOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** The most that workerd held while so many took firmware nobody had asked for before, from R2 on. */
async function peak(sky: Skylark, devices: number): Promise<number> {
  const { path, size } = await publishBytes(sky, SIZE);
  const clients = await Promise.all(Array.from({ length: devices }, () => openClient(sky.facts.url)));
  const { worker = 0 } = sky.facts.pids;
  let most = memoryOf(worker);
  const watch = setInterval(() => {
    most = Math.max(most, memoryOf(worker));
  }, LOOK_MS);
  const got = await Promise.all(clients.map((client) => client.get(path)));
  clearInterval(watch);
  for (const client of clients) client.close();
  if (got.some((bytes) => bytes !== size)) throw new Error('a download was cut short');
  return most;
}

export const memoryBench: Bench = async () => {
  const sky = await startSkylark();
  try {
    await peak(sky, 1);
    const one = await peak(sky, 1);
    const many = await peak(sky, DEVICES);
    return [
      {
        name: `most memory of workerd while ${DEVICES} download ${SIZE / MIB} MiB ÷ while one does`,
        goal: '≤ 1.5',
        ratio: many / one,
        measured: `${many.toFixed(0)} MiB`,
        baseline: `${one.toFixed(0)} MiB`,
      },
    ];
  } finally {
    await sky.stop();
  }
};
