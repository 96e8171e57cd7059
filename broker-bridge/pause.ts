/**
 * Notices that nothing more is coming: then what was collected goes at once. A broker that has as many messages
 * unacknowledged as it allows falls silent for ever, so the bridge must not wait for more; how many that are, it
 * learns from the silence.
 */

/** Silence for this long is a pause. */
const QUIET_MS = 250;
/** Fewer messages than this say nothing about the broker's limit. */
const LEAST_LIMIT = 10;

export class Pause {
  readonly #flush: () => void;
  #timer: NodeJS.Timeout | undefined;
  #lastArrival = 0;
  /** Taken and not settled yet. */
  #open = 0;
  #openAtLastPause = 0;
  /** The broker's limit, as far as it shows. */
  #limit = Number.POSITIVE_INFINITY;

  /** `flush` is to send everything collected. */
  constructor(flush: () => void) {
    this.#flush = flush;
  }

  /** A message was taken; `collected`: it waits for others. */
  arrived(collected: boolean): void {
    this.#open += 1;
    if (this.#open > this.#limit) this.#limit = Number.POSITIVE_INFINITY;
    if (this.#open === this.#limit) this.#flush();
    if (!collected) return;
    this.#lastArrival = Date.now();
    this.#timer ??= setTimeout(() => this.#look(), QUIET_MS);
  }

  /** This many messages are durable. */
  settled(messages: number): void {
    this.#open -= messages;
  }

  /** Looks no more. */
  end(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const left = this.#lastArrival + QUIET_MS - Date.now();
    if (left > 0) {
      this.#timer = setTimeout(() => this.#look(), left);
      return;
    }
    this.#timer = undefined;
    if (this.#open === this.#openAtLastPause && this.#open >= LEAST_LIMIT) this.#limit = this.#open;
    this.#openAtLastPause = this.#open;
    this.#flush();
  }
}
