/**
 * Acknowledgements held back until their message is durable, and then given in the order in which the messages
 * came (MQTT 5 §4.6). Pure: it decides which packet ids may be acknowledged now.
 */

/** A message's place in the window of its connection. */
export interface Held {
  readonly window: AckWindow;
  /** Absent at QoS 0: nobody waits for its acknowledgement, but it takes up memory all the same. */
  readonly packetId: number | undefined;
  readonly bytes: number;
  /** Unix milliseconds. */
  readonly receivedAt: number;
  durable: boolean;
}

/** The window of one connection. Packet ids mean nothing on any other. */
export class AckWindow {
  #held: Held[] = [];
  #bytes = 0;
  readonly #ids = new Set<number>();
  readonly #acknowledge: (packetIds: number[]) => void;

  /** `acknowledge` is called with packet ids in the order of arrival, each once. */
  constructor(acknowledge: (packetIds: number[]) => void) {
    this.#acknowledge = acknowledge;
  }

  /**
   * A message has arrived; it is not acknowledged before it is settled. `undefined` if it is here already: a broker
   * may repeat itself, and a second acknowledgement could meet the next message under the same packet id.
   */
  hold(packetId: number | undefined, bytes: number, receivedAt: number): Held | undefined {
    if (packetId !== undefined) {
      if (this.#ids.has(packetId)) return undefined;
      this.#ids.add(packetId);
    }
    const held: Held = { window: this, packetId, bytes, receivedAt, durable: false };
    this.#held.push(held);
    this.#bytes += bytes;
    return held;
  }

  /** These messages are durable: acknowledges them as far as nothing before them is still open. */
  settle(settled: readonly Held[]): void {
    for (const held of settled) held.durable = true;
    const open = this.#held.findIndex((held) => !held.durable);
    const ready = this.#held.splice(0, open === -1 ? this.#held.length : open);
    const ids: number[] = [];
    for (const { packetId, bytes } of ready) {
      this.#bytes -= bytes;
      if (packetId === undefined) continue;
      this.#ids.delete(packetId);
      ids.push(packetId);
    }
    if (ids.length > 0) this.#acknowledge(ids);
  }

  /** How many messages are not acknowledged yet. */
  get size(): number {
    return this.#held.length;
  }

  /** How long their payloads are together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** When the oldest of them came, Unix milliseconds. */
  get oldest(): number | undefined {
    return this.#held[0]?.receivedAt;
  }
}

/** Settles messages of any number of windows, each window once. */
export function settleAll(settled: readonly Held[]): void {
  for (const [window, held] of Map.groupBy(settled, (one) => one.window)) window.settle(held);
}
