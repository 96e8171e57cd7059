/** Commands on their way to the broker: in order, and no more at a time than it takes. */

/** Publishes at QoS 1. `expiresAt` (Unix milliseconds): afterwards the broker need not keep it for a device that is away. */
export type Publish = (topic: string, payload: string, expiresAt?: number) => Promise<void>;

interface Waiting {
  topic: string;
  payload: string;
  expiresAt: number | undefined;
  resolve: () => void;
  reject: (reason: Error) => void;
}

export class PublishQueue {
  readonly #publish: Publish;
  #limit: number;
  #underway = new Set<Waiting>();
  #waiting: Waiting[] = [];
  #closed: Error | undefined;

  /** `publish` resolves when the broker has acknowledged; at most `limit` are under way at a time. */
  constructor(publish: Publish, limit: number) {
    this.#publish = publish;
    this.#limit = limit;
  }

  /** Lowers the limit. */
  limit(most: number): void {
    this.#limit = Math.min(this.#limit, most);
  }

  /** Resolves when the broker has acknowledged the message; rejects if it refuses it or is gone. */
  add(topic: string, payload: string, expiresAt?: number): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ topic, payload, expiresAt, resolve, reject });
      this.#proceed();
    });
  }

  /** Rejects everything that is not acknowledged yet. */
  close(reason: Error): void {
    this.#closed = reason;
    for (const { reject } of [...this.#underway, ...this.#waiting]) reject(reason);
    this.#underway.clear();
    this.#waiting = [];
  }

  #proceed(): void {
    while (this.#underway.size < this.#limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#underway.add(next);
      this.#publish(next.topic, next.payload, next.expiresAt)
        .then(next.resolve, next.reject)
        .finally(() => {
          this.#underway.delete(next);
          this.#proceed();
        });
    }
  }
}
