/**
 * Messages into batches: one open batch a fleet shard and lane. Statuses and notifications go out at once and never
 * wait behind heartbeats; of the heartbeats of one device in a batch only the newest is sent. Pure but for time.
 */
import { MAX_BATCH_MESSAGES, MAX_PAYLOAD_BYTES } from '../protocol/bridge.ts';
import { heartbeat } from '../protocol/messages.ts';
import { shardOf } from '../protocol/shards.ts';
import { parseUpTopic } from '../protocol/topics.ts';
import type { Held } from './ack-window.ts';

export type Lane = 'urgent' | 'heartbeat';

export interface Received {
  topic: string;
  payload: string;
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

const MAX_BATCH_CHARACTERS = 64 * 1024;

interface Open {
  messages: Received[];
  /** Where the newest heartbeat of a topic stands. */
  places: Map<string, number>;
  characters: number;
}

export class Batcher {
  readonly #open = new Map<string, Open>();

  /** Adds a message; answers the batch it completes, if any. */
  add(topic: string, payload: Buffer, receivedAt: number, held: Held): Batch | undefined {
    const from = parseUpTopic(topic);
    const lane: Lane = from?.channel === 'heartbeat' ? 'heartbeat' : 'urgent';
    const shard = from === undefined ? 0 : shardOf(from.serial_no);
    const key = keyOf(shard, lane);
    const open: Open = this.#open.get(key) ?? { messages: [], places: new Map(), characters: 0 };
    this.#open.set(key, open);
    const message: Received = {
      topic,
      payload: payload.subarray(0, MAX_PAYLOAD_BYTES + 1).toString(),
      received_at: receivedAt,
      held: [held],
    };
    const place = lane === 'heartbeat' ? open.places.get(topic) : undefined;
    const older = place === undefined ? undefined : open.messages[place];
    if (older !== undefined && place !== undefined && isHeartbeatOf(from?.serial_no, older.payload)) {
      message.held = [...older.held, held];
      open.messages[place] = message;
      open.characters += message.payload.length - older.payload.length;
    } else {
      open.places.set(topic, open.messages.length);
      open.messages.push(message);
      open.characters += message.payload.length;
    }
    const full = open.messages.length >= MAX_BATCH_MESSAGES || open.characters >= MAX_BATCH_CHARACTERS;
    return full ? this.take(shard, lane) : undefined;
  }

  /** The open batch of a shard and lane, closed now. */
  take(shard: number, lane: Lane): Batch | undefined {
    const open = this.#open.get(keyOf(shard, lane));
    if (open === undefined || open.messages.length === 0) return undefined;
    this.#open.delete(keyOf(shard, lane));
    return { shard, lane, messages: open.messages };
  }

  /** Every open batch of a lane, closed now. */
  takeAll(lane: Lane): Batch[] {
    const keys = [...this.#open.keys()].filter((key) => key.endsWith(lane));
    return keys.flatMap((key) => this.take(Number.parseInt(key, 10), lane) ?? []);
  }
}

/** Only what is understood can be superseded: the edge is to see, and keep, everything else. */
function isHeartbeatOf(serialNo: string | undefined, payload: string): boolean {
  try {
    return heartbeat.safeParse(JSON.parse(payload)).data?.serial_no === serialNo;
  } catch {
    return false;
  }
}

const keyOf = (shard: number, lane: Lane): string => `${shard} ${lane}`;
