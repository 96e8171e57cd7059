/** Batches to the edge: over and over until it has made them durable. */
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Pool } from 'undici';
import { type IngestAnswer, type IngestBatch, ingestAnswer } from '../protocol/bridge.ts';
import type { Batch } from './batcher.ts';
import type { Counters } from './counters.ts';
import { log } from './log.ts';
import { retryDelayMs, slowDelayMs } from './retry.ts';

const pack = promisify(gzip);
const CONNECTIONS = 32;
const CONNECT_MS = 10_000;
const REQUEST_MS = 30_000;
const LONGEST_RETRY_AFTER_S = 60;
/** While the edge is down, this often a line says so. */
const REMIND_MS = 30_000;

export interface EdgeAddress {
  /** Without a slash at the end. */
  url: string;
  token: string;
  bridgeId: string;
}

/** `retryAfterMs` is what the edge asked for; `credential`: only a person can mend it. */
interface Failure {
  retryAfterMs: number;
  credential: boolean;
}
type Outcome = 'durable' | 'refused' | Failure;
export type Pause = (ms: number, stopped: AbortSignal) => Promise<void>;

export class EdgeSender {
  readonly #edge: EdgeAddress;
  readonly #counters: Counters;
  readonly #pool: Pool;
  readonly #path: string;
  readonly #pause: Pause;
  /** Ends the waiting of all batches when one gets through after a failure. */
  #back = new AbortController();
  #reachable = true;
  #reminded = 0;

  constructor(
    edge: EdgeAddress,
    counters: Counters,
    pause: Pause = (ms, signal) => wait(ms, undefined, { signal }),
  ) {
    const { origin, pathname } = new URL(`${edge.url}/ingest`);
    this.#edge = edge;
    this.#counters = counters;
    this.#path = pathname;
    this.#pause = pause;
    this.#pool = new Pool(origin, { connections: CONNECTIONS, connect: { timeout: CONNECT_MS } });
  }

  /** False after a failure, until the edge has taken a batch. */
  get reachable(): boolean {
    return this.#reachable;
  }

  /** Resolves when the edge has the batch, however long that takes. Rejects only when `stopped` says so. */
  async send(batch: Batch, stopped: AbortSignal): Promise<void> {
    const body = await pack(JSON.stringify(this.#columns(batch)));
    for (let attempt = 0; ; attempt += 1) {
      stopped.throwIfAborted();
      const outcome = await this.#post(body, stopped);
      if (outcome === 'durable') {
        this.#counters.batches += 1;
        this.#counters.delivered += batch.messages.length;
        return;
      }
      if (outcome === 'refused') return this.#split(batch, stopped);
      this.#counters.retries += 1;
      await this.#wait(attempt, outcome, stopped);
    }
  }

  /** Until it is time to try again, or the edge has taken another batch – unless it asked for the time itself. */
  async #wait(attempt: number, { credential, retryAfterMs }: Failure, stopped: AbortSignal): Promise<void> {
    const random = Math.random();
    const delay = credential ? slowDelayMs(random) : retryDelayMs(attempt, random);
    if (retryAfterMs > 0) return this.#pause(Math.max(delay, retryAfterMs), stopped);
    const back = this.#back.signal;
    await this.#pause(delay, AbortSignal.any([stopped, back])).catch((error: unknown) => {
      if (!back.aborted) throw error;
    });
  }

  /** Lets go of the connections. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  /** The edge will never take this batch: find the message that is to blame, so that it blocks nothing else. */
  async #split(batch: Batch, stopped: AbortSignal): Promise<void> {
    const { messages } = batch;
    if (messages.length === 1) {
      this.#counters.refused += 1;
      log('error', 'the edge refuses a message for ever; it is given up', {
        topic: messages[0]?.topic.slice(0, 200),
      });
      return;
    }
    const half = Math.ceil(messages.length / 2);
    await this.send({ ...batch, messages: messages.slice(0, half) }, stopped);
    await this.send({ ...batch, messages: messages.slice(half) }, stopped);
  }

  async #post(body: Buffer, stopped: AbortSignal): Promise<Outcome> {
    try {
      const response = await this.#pool.request({
        method: 'POST',
        path: this.#path,
        headers: {
          authorization: `Bearer ${this.#edge.token}`,
          'content-type': 'application/json',
          'content-encoding': 'gzip',
        },
        body,
        signal: AbortSignal.any([stopped, AbortSignal.timeout(REQUEST_MS)]),
      });
      return this.#judge(response.statusCode, response.headers['retry-after'], await response.body.text());
    } catch (error) {
      if (!stopped.aborted) this.#failed('warn', `the edge is not reachable: ${reasonOf(error)}`);
      return { retryAfterMs: 0, credential: false };
    }
  }

  #judge(status: number, retryAfter: string | string[] | undefined, text: string): Outcome {
    const durable = status >= 200 && status < 300 ? answerOf(text) : undefined;
    if (durable !== undefined) {
      this.#counters.rejected += durable.rejected;
      if (!this.#reachable) {
        log('info', 'the edge takes batches again');
        this.#back.abort();
        this.#back = new AbortController();
      }
      this.#reachable = true;
      return 'durable';
    }
    const answer = { answer: text.slice(0, 300) };
    if (status === 400 || status === 413 || status === 422) {
      this.#counters.failures += 1;
      log('error', `the edge refused a batch: ${status}`, answer);
      return 'refused';
    }
    if (status === 401 || status === 403) {
      const advice = `the edge refuses the bridge's credential (${status}): BRIDGE_TOKEN must be one of the Worker's BRIDGE_TOKENS`;
      this.#failed('error', advice, answer);
      return { retryAfterMs: 0, credential: true };
    }
    // A 2xx that is not the edge's own answer came from something in between: nothing is durable.
    this.#failed('warn', `the edge answered ${status}, and that is no promise`, answer);
    const seconds = Number(retryAfter);
    return {
      retryAfterMs: seconds > 0 ? Math.min(seconds, LONGEST_RETRY_AFTER_S) * 1000 : 0,
      credential: false,
    };
  }

  #failed(level: 'warn' | 'error', message: string, more: object = {}): void {
    this.#counters.failures += 1;
    if (this.#reachable || Date.now() - this.#reminded >= REMIND_MS) {
      this.#reminded = Date.now();
      log(level, `${message}; messages wait, unacknowledged`, more);
    }
    this.#reachable = false;
  }

  #columns({ shard, messages }: Batch): IngestBatch {
    const notUtf8 = messages.flatMap(({ utf8 }, i) => (utf8 ? [] : [i]));
    return {
      batch_id: randomUUID(),
      bridge_id: this.#edge.bridgeId,
      shard,
      topic: messages.map((m) => m.topic),
      payload: messages.map((m) => m.payload),
      received_at: messages.map((m) => m.received_at),
      ...(notUtf8.length === 0 ? {} : { not_utf8: notUtf8 }),
    };
  }
}

function answerOf(text: string): IngestAnswer | undefined {
  try {
    return ingestAnswer.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message || error.name : String(error);
