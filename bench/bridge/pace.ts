/** Messages that come at a steady pace, whatever becomes of them. */
import type { Source } from './source.ts';

const TICK_MS = 10;

/** So many a second, from now on until the answer is called. */
export function keepPace(source: Source, perSecond: number): () => void {
  const started = performance.now();
  let added = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - started) / 1000) * perSecond);
    source.add(due - added);
    added = due;
  }, TICK_MS);
  return () => clearInterval(timer);
}
