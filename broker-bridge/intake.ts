/** The road up inside the bridge: collects messages, has their batches delivered, and settles what is durable. */
import { type Held, settleAll } from './ack-window.ts';
import { type Batch, Batcher, isUnderstood, type Lane, placeOf, type Received } from './batcher.ts';
import type { Counters } from './counters.ts';
import { Pause } from './pause.ts';

/**
 * How long a lane collects at most before it sends. A million devices fill a shard's batch of heartbeats in about
 * this time, and each call to the edge costs money.
 */
const COLLECT_MS: Record<Lane, number> = { urgent: 10, heartbeat: 3000 };

/** One shard's lane. One batch is under way at a time, so that a device's statuses keep their order. */
interface LaneState {
  lane: Lane;
  batcher: Batcher;
  underway: Batch | undefined;
  /** Has waited long enough. */
  due: boolean;
  timer: NodeJS.Timeout | undefined;
}

export class Intake {
  readonly #lanes = new Map<string, LaneState>();
  readonly #underway = new Set<Promise<void>>();
  readonly #deliver: (batch: Batch) => Promise<void>;
  readonly #counters: Counters;
  readonly #settled: () => void;
  readonly #pause = new Pause(() => this.#flush());
  /** Heartbeats of which a copy went ahead. */
  readonly #introduced = new WeakSet<Received>();
  #draining = false;

  /**
   * `deliver` resolves when a batch is durable; where it rejects, the batch is never acknowledged. `settled` is called
   * after each batch.
   */
  constructor(deliver: (batch: Batch) => Promise<void>, counters: Counters, settled: () => void) {
    this.#deliver = deliver;
    this.#counters = counters;
    this.#settled = settled;
  }

  /** Takes a message, to be settled when it is durable. */
  take(topic: string, payload: Buffer, held: Held): void {
    const { shard, lane, channel } = placeOf(topic);
    this.#counters.received[channel] += 1;
    const key = `${shard} ${lane}`;
    const state: LaneState = this.#lanes.get(key) ?? {
      lane,
      batcher: new Batcher(shard, lane),
      underway: undefined,
      due: false,
      timer: undefined,
    };
    this.#lanes.set(key, state);
    if (channel === 'status' || channel === 'notify') this.#introduce(topic, shard, state);
    if (state.batcher.add(topic, payload, held)) this.#counters.superseded += 1;
    this.#proceed(state);
    this.#pause.arrived(lane === 'heartbeat');
  }

  /**
   * A device registers itself with its first heartbeat, and nothing it says is taken before that. Heartbeats take their
   * time: while one of the device is not durable, what else it says takes a copy along.
   */
  #introduce(topic: string, shard: number, { batcher }: LaneState): void {
    const lane = this.#lanes.get(`${shard} heartbeat`);
    if (lane === undefined) return;
    const from = `${topic.slice(0, topic.lastIndexOf('/'))}/heartbeat`;
    const heartbeat =
      lane.batcher.newest(from) ?? lane.underway?.messages.find((message) => message.topic === from);
    if (heartbeat === undefined || this.#introduced.has(heartbeat) || !isUnderstood(heartbeat)) return;
    this.#introduced.add(heartbeat);
    batcher.addCopy(heartbeat);
  }

  /** Sends everything without waiting for more; resolves when nothing is under way. */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#pause.end();
    for (const state of this.#lanes.values()) this.#proceed(state);
    while (this.#underway.size > 0) await Promise.all(this.#underway);
  }

  #flush(): void {
    for (const state of this.#lanes.values()) {
      if (state.batcher.empty) continue;
      state.due = true;
      this.#proceed(state);
    }
  }

  #proceed(state: LaneState): void {
    if (state.underway !== undefined || state.batcher.empty) return;
    if (state.due || state.batcher.full || this.#draining) {
      this.#start(state);
    } else {
      state.timer ??= setTimeout(() => {
        state.timer = undefined;
        state.due = true;
        this.#proceed(state);
      }, COLLECT_MS[state.lane]);
    }
  }

  #start(state: LaneState): void {
    const batch = state.batcher.next();
    if (batch === undefined) return;
    clearTimeout(state.timer);
    state.timer = undefined;
    state.due = false;
    state.underway = batch;
    const work = this.#deliver(batch)
      .then(
        () => {
          const held = batch.messages.flatMap((message) => message.held);
          this.#pause.settled(held.length);
          settleAll(held);
          this.#settled();
        },
        // Stopped: not acknowledged, it comes again.
        () => undefined,
      )
      .finally(() => {
        this.#underway.delete(work);
        state.underway = undefined;
        this.#proceed(state);
      });
    this.#underway.add(work);
  }
}
