/** Asking whoever stands beside the device whether an update may be installed. Who says nothing agrees after a while. */

export type Answer = 'now' | 'later';

export class Question {
  #open: { at: number; answer(said: Answer): void } | undefined;

  /** When it counts as answered, Unix milliseconds; `undefined` where nothing is asked. */
  get at(): number | undefined {
    return this.#open?.at;
  }

  /** Answers it; false where nothing was asked. */
  answer(said: Answer): boolean {
    this.#open?.answer(said);
    return this.#open !== undefined;
  }

  /** Asks until `at` (Unix milliseconds). Throws the signal's reason when that is aborted first. */
  async ask(at: number, signal: AbortSignal): Promise<Answer> {
    const wait = at - Date.now();
    if (wait <= 0) return 'now';
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const stop = () => reject(signal.reason);
    const timer = setTimeout(resolve, wait, 'now');
    signal.addEventListener('abort', stop);
    this.#open = { at, answer: resolve };
    try {
      signal.throwIfAborted();
      return await promise;
    } finally {
      this.#open = undefined;
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }
}
