/** One thing after another: what is given to `take` runs when everything given before has ended. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Answers, or fails, as `work` does; a failure holds up nobody. */
  take<Value>(work: () => Promise<Value>): Promise<Value> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
