/** Commands to one device after the other, for as long as the storm lasts. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Skylark } from '../skylark.ts';

const PACE_MS = 50;
/** How many are asked for at a time. */
const ASKING = 4;

/** A command the API has accepted, so that it must not get lost. */
export interface Accepted {
  id: string;
  serial: string;
  /** Unix milliseconds. */
  at: number;
}

export class Commands {
  readonly accepted: Accepted[] = [];
  readonly #running: Promise<unknown>;
  #stopped = false;

  constructor(sky: Pick<Skylark, 'api'>, serials: readonly string[]) {
    this.#running = Promise.all(
      Array.from({ length: ASKING }, (_, n) =>
        this.#run(
          sky,
          serials.filter((_serial, i) => i % ASKING === n),
        ),
      ),
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(sky: Pick<Skylark, 'api'>, serials: readonly string[]): Promise<void> {
    for (let i = 0; !this.#stopped; i += 1) {
      const serial = serials[i % serials.length] ?? '';
      const answer = sky.api('POST', `/devices/${serial}/commands`, { command: 'reboot' });
      // While the edge is down nothing is accepted, and whoever asks is told so.
      const { status, body } = await answer.catch(() => ({ status: 0, body: { command_id: '' } }));
      if (status === 202) this.accepted.push({ id: String(body.command_id), serial, at: Date.now() });
      await wait(PACE_MS);
    }
  }
}
