/** Messages the broker has not acknowledged yet: on disk, so that neither a cut nor a restart loses one. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeDurably } from './durable-file.ts';

const entry = z.object({ id: z.int(), topic: z.string(), payload: z.string() });
export type Entry = z.infer<typeof entry>;

export class Outbox {
  readonly #file: string;
  readonly #waiting = new Map<number, Entry>();
  #next = 1;

  constructor(stateDirectory: string) {
    this.#file = join(stateDirectory, 'outbox.jsonl');
    if (!existsSync(this.#file)) return;
    for (const line of readFileSync(this.#file, 'utf8').split('\n')) {
      const read = parse(line);
      if (read !== undefined) this.#waiting.set(read.id, read);
    }
    this.#next = Math.max(0, ...this.#waiting.keys()) + 1;
  }

  /** Keeps a message until {@link remove}. On disk when it returns. */
  add(topic: string, payload: string): Entry {
    const added = { id: this.#next++, topic, payload };
    this.#waiting.set(added.id, added);
    appendFileSync(this.#file, `${JSON.stringify(added)}\n`, { flush: true });
    return added;
  }

  /** The broker has it. */
  remove(id: number): void {
    this.#waiting.delete(id);
    // Rewritten only when empty: what is sent twice after a restart is known already.
    if (this.#waiting.size === 0) writeDurably(this.#file, '');
  }

  /** What waits, in the order it was added. */
  get waiting(): Entry[] {
    return [...this.#waiting.values()];
  }
}

/** A line cut off by a power loss was never promised to anybody. */
function parse(line: string): Entry | undefined {
  try {
    return entry.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
