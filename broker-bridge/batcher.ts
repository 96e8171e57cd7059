/**
 * Messages of one fleet shard and lane into batches, in order. Statuses and notifications have a lane of their own, so
 * that they never wait behind heartbeats; of the heartbeats of one device in a batch only the newest is sent. Pure.
 */
import { isUtf8 } from 'node:buffer';
import { MAX_BATCH_MESSAGES, MAX_PAYLOAD_BYTES } from '../protocol/bridge.ts';
import { heartbeat } from '../protocol/messages.ts';
import { shardOf } from '../protocol/shards.ts';
import { parseUpTopic, type UpChannel } from '../protocol/topics.ts';
import type { Held } from './ack-window.ts';

export type Lane = 'urgent' | 'heartbeat';

/** Where a message belongs. What is no device's goes to shard 0, at once: the edge refuses and keeps it. */
export interface Place {
  shard: number;
  lane: Lane;
  channel: UpChannel | 'other';
}

export interface Received {
  topic: string;
  payload: string;
  /** Else the payload is only a likeness of what arrived. */
  utf8: boolean;
  /** Unix milliseconds. */
  received_at: number;
  /** What to settle when it is durable: its own place, and those of older heartbeats it stands for. */
  held: Held[];
}

export interface Batch {
  shard: number;
  lane: Lane;
  messages: Received[];
}

const MAX_BATCH_BYTES = 64 * 1024;
/** What the protocol allows; no device's topic comes near. */
const MAX_TOPIC_CHARACTERS = 1024;

export function placeOf(topic: string): Place {
  const from = parseUpTopic(topic);
  if (from === undefined) return { shard: 0, lane: 'urgent', channel: 'other' };
  const lane = from.channel === 'heartbeat' ? 'heartbeat' : 'urgent';
  return { shard: shardOf(from.serial_no), lane, channel: from.channel };
}

interface Filling {
  messages: Received[];
  /** Where the newest heartbeat of a topic stands. */
  newest: Map<string, number>;
  bytes: number;
}

export class Batcher {
  readonly #shard: number;
  readonly #lane: Lane;
  /** The last one is still filling. */
  readonly #waiting: Filling[] = [];

  constructor(shard: number, lane: Lane) {
    this.#shard = shard;
    this.#lane = lane;
  }

  /** Adds a message. True if it supersedes an older heartbeat, which is then not sent. */
  add(topic: string, payload: Buffer, held: Held): boolean {
    const filling = this.#filling();
    const bytes = payload.subarray(0, MAX_PAYLOAD_BYTES + 1);
    const message: Received = {
      topic:
        topic.length > MAX_TOPIC_CHARACTERS ? topic.slice(0, MAX_TOPIC_CHARACTERS).toWellFormed() : topic,
      payload: bytes.toString(),
      utf8: isUtf8(payload),
      received_at: held.receivedAt,
      held: [held],
    };
    filling.bytes += bytes.length;
    if (this.#lane === 'heartbeat' && supersedes(filling, message)) return true;
    filling.newest.set(topic, filling.messages.length);
    filling.messages.push(message);
    return false;
  }

  /** Adds a copy of a message that goes its own way as well, and is settled there. */
  addCopy(message: Received): void {
    const filling = this.#filling();
    filling.bytes += Buffer.byteLength(message.payload);
    filling.messages.push({ ...message, held: [] });
  }

  /** The newest heartbeat of this topic that waits. */
  newest(topic: string): Received | undefined {
    for (const { messages, newest } of this.#waiting.toReversed()) {
      const place = newest.get(topic);
      if (place !== undefined) return messages[place];
    }
    return undefined;
  }

  /** Nothing waits. */
  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  /** There is a batch that nothing more fits into. */
  get full(): boolean {
    const [first] = this.#waiting;
    return first !== undefined && isFull(first);
  }

  /** The oldest batch, closed now. */
  next(): Batch | undefined {
    const first = this.#waiting.shift();
    return first && { shard: this.#shard, lane: this.#lane, messages: first.messages };
  }

  #filling(): Filling {
    const last = this.#waiting.at(-1);
    if (last !== undefined && !isFull(last)) return last;
    const fresh: Filling = { messages: [], newest: new Map(), bytes: 0 };
    this.#waiting.push(fresh);
    return fresh;
  }
}

const isFull = ({ messages, bytes }: Filling): boolean =>
  messages.length >= MAX_BATCH_MESSAGES || bytes >= MAX_BATCH_BYTES;

/** Puts a heartbeat in the place of the device's older one. */
function supersedes({ messages, newest }: Filling, message: Received): boolean {
  const place = newest.get(message.topic);
  const older = place === undefined ? undefined : messages[place];
  if (place === undefined || older === undefined) return false;
  if (!isUnderstood(older) || !isUnderstood(message)) return false;
  older.held.push(...message.held);
  message.held = older.held;
  messages[place] = message;
  return true;
}

/** Only a heartbeat that is understood takes another's place or is sent ahead: the edge is to see, and keep, everything else. */
export function isUnderstood({ topic, payload, utf8 }: Received): boolean {
  try {
    return (
      utf8 && heartbeat.safeParse(JSON.parse(payload)).data?.serial_no === parseUpTopic(topic)?.serial_no
    );
  } catch {
    return false;
  }
}
