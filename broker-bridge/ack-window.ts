/**
 * Acknowledgements held back until their message is durable, and then given in the order in which the messages
 * came (MQTT 5 §4.6). Pure: it decides which packet ids may be acknowledged now.
 */

/** A message's place in the window of its connection. */
export interface Held {
  readonly packetId: number;
  durable: boolean;
}

export class AckWindow {
  #held: Held[] = [];
  readonly #acknowledge: (packetIds: number[]) => void;

  /** `acknowledge` is called with packet ids in the order of arrival, each once. */
  constructor(acknowledge: (packetIds: number[]) => void) {
    this.#acknowledge = acknowledge;
  }

  /** A message has arrived; it is not acknowledged before it is settled. */
  hold(packetId: number): Held {
    const held = { packetId, durable: false };
    this.#held.push(held);
    return held;
  }

  /** These messages are durable: acknowledges them as far as nothing before them is still open. */
  settle(settled: readonly Held[]): void {
    for (const held of settled) held.durable = true;
    const open = this.#held.findIndex((held) => !held.durable);
    const ready = this.#held.splice(0, open === -1 ? this.#held.length : open);
    if (ready.length > 0) this.#acknowledge(ready.map((held) => held.packetId));
  }

  /** How many messages are not acknowledged yet. */
  get size(): number {
    return this.#held.length;
  }
}
