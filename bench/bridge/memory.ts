/** What a bridge takes of a machine's memory while 10,000 heartbeats a second pass through it. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Bench } from '../compare.ts';
import { heartbeat } from './heartbeats.ts';
import { keepPace } from './pace.ts';
import { startRig } from './rig.ts';
import { Sink } from './sink.ts';
import { Source } from './source.ts';

const PER_SECOND = 10_000;
/** As far as an edge is. */
const EDGE_MS = 50;
const LOOKS = 45;
/** The smallest machine that is for hire everywhere. */
const MACHINE_MB = 512;

export const bridgeMemoryBench: Bench = async () => {
  const sink = await new Sink(() => wait(EDGE_MS)).open();
  const { feed, memory, close } = await startRig(await Source.start(heartbeat), sink);
  const idle = await memory();
  const stop = keepPace(feed, PER_SECOND);
  try {
    let most = 0;
    for (let look = 0; look < LOOKS; look += 1) {
      await wait(1000);
      most = Math.max(most, await memory());
    }
    const { acknowledged, due } = feed;
    if (due - acknowledged > 2 * PER_SECOND)
      throw new Error(`the bridge took ${acknowledged} of ${due} only`);
    return [
      {
        name: `most memory of a bridge with 10,000 heartbeats a second, in ${LOOKS} s ÷ a small machine's`,
        goal: '≤ 1',
        ratio: most / MACHINE_MB,
        measured: `${most.toFixed(0)} MB (${idle.toFixed(0)} MB with none)`,
        baseline: `${MACHINE_MB} MB`,
      },
    ];
  } finally {
    stop();
    await close();
    sink.close();
  }
};
