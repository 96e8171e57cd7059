/**
 * Who is due when, in buckets of time: adding costs the same however many there are, and a heartbeat costs nothing,
 * since whoever turns out to have been heard since is simply added again. Pure.
 */
export class TimeWheel<Key> {
  readonly #buckets = new Map<number, Key[]>();
  #width_ms: number;

  /** `width_ms` is how late, at most, somebody comes out. */
  constructor(width_ms: number) {
    this.#width_ms = width_ms;
  }

  /** Times are Unix milliseconds. */
  add(key: Key, dueAt: number): void {
    const bucket = Math.ceil(dueAt / this.#width_ms);
    const keys = this.#buckets.get(bucket);
    if (keys === undefined) this.#buckets.set(bucket, [key]);
    else keys.push(key);
  }

  /** Takes out everybody who is due. */
  take(now: number): Key[] {
    const due: Key[] = [];
    for (const [bucket, keys] of this.#buckets) {
      if (bucket * this.#width_ms > now) continue;
      // Not by spreading: a bucket may hold more than fits into one call's arguments.
      for (const key of keys) due.push(key);
      this.#buckets.delete(bucket);
    }
    return due;
  }

  /** When the next one is due; `undefined` where nobody is. */
  get nextAt(): number | undefined {
    return this.#buckets.size === 0 ? undefined : Math.min(...this.#buckets.keys()) * this.#width_ms;
  }

  /** Starts again, empty, with buckets of another width. */
  reset(width_ms: number): void {
    this.#buckets.clear();
    this.#width_ms = width_ms;
  }
}
