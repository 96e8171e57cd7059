/** What a bridge holds in memory while 10,000 heartbeats a second pass through it. */
import { setTimeout as wait } from 'node:timers/promises';
import { type Bench, compare } from '../compare.ts';
import { heartbeat } from './heartbeats.ts';
import { keepPace } from './pace.ts';
import { startRig } from './rig.ts';
import { Sink } from './sink.ts';
import { Source } from './source.ts';

const PER_SECOND = 10_000;
/** As far as an edge is. */
const EDGE_MS = 50;
const WARM_MS = 10_000;
const PAUSE_MS = 3000;

export const memoryBench: Bench = async () => {
  const sink = await new Sink(() => wait(EDGE_MS)).open();
  const [busy, idle] = [
    await startRig(await Source.start(heartbeat), sink),
    await startRig(await Source.start(heartbeat), sink),
  ];
  const stop = keepPace(busy.feed, PER_SECOND);
  try {
    await wait(WARM_MS);
    const result = await compare(
      'memory of a bridge with 10,000 heartbeats a second ÷ of one with none',
      '≤ 2',
      'MB',
      async () => {
        await wait(PAUSE_MS);
        return busy.memory();
      },
      () => idle.memory(),
    );
    const { sent, acknowledged, due } = busy.feed;
    if (due - sent > 2 * PER_SECOND) throw new Error(`the bridge took ${acknowledged} of ${due} only`);
    return [result];
  } finally {
    stop();
    await Promise.all([busy.close(), idle.close()]);
    sink.close();
  }
};
