/** Batches to the edge: over and over until it has made them durable. */
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { IngestBatch } from '../protocol/bridge.ts';
import type { Batch } from './batcher.ts';
import type { Counters } from './counters.ts';
import { log } from './log.ts';
import { retryDelayMs } from './retry.ts';

const pack = promisify(gzip);
const REQUEST_MS = 30_000;

export interface EdgeAddress {
  url: string;
  token: string;
  bridgeId: string;
}

export class EdgeSender {
  readonly #edge: EdgeAddress;
  readonly #counters: Counters;
  /** One batch at a time a shard and lane: a device's statuses keep their order. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(edge: EdgeAddress, counters: Counters) {
    this.#edge = edge;
    this.#counters = counters;
  }

  /** Resolves when the edge has the batch. Never rejects before `stopped` says so. */
  send(batch: Batch, stopped: AbortSignal): Promise<void> {
    const lane = `${batch.shard} ${batch.lane}`;
    const before = this.#turns.get(lane) ?? Promise.resolve();
    const mine = before.catch(() => undefined).then(() => this.#deliver(batch, stopped));
    this.#turns.set(lane, mine);
    return mine;
  }

  async #deliver(batch: Batch, stopped: AbortSignal): Promise<void> {
    const body = await pack(JSON.stringify(this.#columns(batch)));
    for (let attempt = 0; ; attempt += 1) {
      stopped.throwIfAborted();
      const outcome = await this.#post(body);
      if (outcome === 'durable') return;
      if (outcome === 'refused') return this.#split(batch, stopped);
      this.#counters.retries += 1;
      await wait(retryDelayMs(attempt, Math.random()), undefined, { signal: stopped });
    }
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
    await this.#deliver({ ...batch, messages: messages.slice(0, half) }, stopped);
    await this.#deliver({ ...batch, messages: messages.slice(half) }, stopped);
  }

  async #post(body: Buffer<ArrayBufferLike>): Promise<'durable' | 'refused' | 'again'> {
    try {
      const response = await fetch(`${this.#edge.url}/ingest`, {
        method: 'POST',
        headers: {
          Authorization: `Bearer ${this.#edge.token}`,
          'Content-Type': 'application/json',
          'Content-Encoding': 'gzip',
        },
        body: new Uint8Array(body),
        signal: AbortSignal.timeout(REQUEST_MS),
      });
      const text = await response.text();
      this.#counters.batches += 1;
      if (response.ok) return 'durable';
      log('warn', `the edge answered ${response.status}`, { answer: text.slice(0, 300) });
      return [400, 413, 422].includes(response.status) ? 'refused' : 'again';
    } catch (error) {
      log('warn', `the edge is not reachable: ${String(error)}`);
      return 'again';
    }
  }

  #columns({ shard, messages }: Batch): IngestBatch {
    return {
      batch_id: randomUUID(),
      bridge_id: this.#edge.bridgeId,
      shard,
      topic: messages.map((m) => m.topic),
      payload: messages.map((m) => m.payload),
      received_at: messages.map((m) => m.received_at),
    };
  }
}
