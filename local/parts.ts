/** The parts that run: watched, and stopped in reverse; under supervision one that dies is started again. */
import { EventEmitter, once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import type { Part } from './part.ts';

const AGAIN_WITHIN_MS = 60_000;
const AGAIN_MS = 100;

interface Slot {
  part: Part;
  /** Where it has died: until it runs again. */
  again: Promise<void> | undefined;
}

export class Parts {
  /** By the part's name; those of the processes that run now. */
  readonly pids: Record<string, number> = {};
  /** Resolves with one line when a part has died by itself; under supervision, when it cannot be started again. */
  readonly died: Promise<string>;
  readonly #lost = Promise.withResolvers<string>();
  readonly #supervise: boolean;
  readonly #slots: Slot[] = [];
  readonly #starts = new EventEmitter<Record<string, []>>();
  #stopping = false;

  constructor(supervise: boolean) {
    this.#supervise = supervise;
    this.died = this.#lost.promise;
  }

  /** Starts a part. `start` is given what ran before, when there was any: it takes the same port and the same data. */
  async run<P extends Part>(start: (before: P | undefined) => Promise<P>): Promise<P> {
    const part = await start(undefined);
    const slot: Slot = { part, again: undefined };
    this.#slots.push(slot);
    this.pids[part.name] = part.pid;
    void this.#watch(slot, part, start);
    return part;
  }

  /** Resolves when a part has been started again after its death, the next time that happens. */
  async startedAgain(name: string): Promise<void> {
    await once(this.#starts, name);
  }

  /** Stops everything, the last one started first. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const slot of this.#slots.splice(0).reverse()) {
      await slot.again;
      await slot.part.stop();
    }
  }

  async #watch<P extends Part>(slot: Slot, first: P, start: (before: P) => Promise<P>): Promise<void> {
    for (let part = first; ; ) {
      const words = await part.gone;
      if (this.#stopping) return;
      if (!this.#supervise) {
        this.#lost.resolve(`the part "${part.name}" died: ${words}`);
        return;
      }
      const again = this.#startAgain(part, start);
      slot.again = again.then((next) => {
        slot.part = next ?? slot.part;
      });
      const next = await again;
      if (next === undefined) return;
      part = next;
      this.pids[part.name] = part.pid;
      this.#starts.emit(part.name);
    }
  }

  /** Tries until it runs: what its predecessor held – a port, shared memory – may be free a moment later only. */
  async #startAgain<P extends Part>(before: P, start: (before: P) => Promise<P>): Promise<P | undefined> {
    for (const end = Date.now() + AGAIN_WITHIN_MS; !this.#stopping; ) {
      try {
        return await start(before);
      } catch (error) {
        if (Date.now() < end) {
          await wait(AGAIN_MS);
          continue;
        }
        this.#lost.resolve(`the part "${before.name}" could not be started again: ${String(error)}`);
        return undefined;
      }
    }
    return undefined;
  }
}
