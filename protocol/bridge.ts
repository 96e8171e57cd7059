/**
 * What the bridge and the edge say to each other: batches up (`POST /ingest`), a command link down
 * (`GET /bridge/link`, a WebSocket). Both take the bridge credential as a bearer token.
 */
import { z } from 'zod';

/** Most messages in one batch. */
export const MAX_BATCH_MESSAGES = 500;
/** Longest payload passed on, in bytes; of a longer one the bridge sends the first MAX_PAYLOAD_BYTES + 1. */
export const MAX_PAYLOAD_BYTES = 65_536;

/** A broker keeps what comes for a bridge that is away for this long: no message is under way for longer. */
export const SESSION_S = 86_400;

/** A bridge's name, its client ID at the broker: one of its own for each. */
export const bridgeId = z.string().min(1).max(64);

/** How long a bridge counts as being there after it last said so (`PUT /bridge/leases/{id}`); it says so three times as often. */
export const BRIDGE_LEASE_S = 60;

/** What a bridge says of itself when it renews its lease. */
export const bridgeState = z.object({
  /** The version of MQTT it speaks with the broker; null while it is not connected. */
  mqtt: z.enum(['5', '3.1.1']).nullable(),
  started_at: z.iso.datetime(),
  /** Messages held: not durable yet. */
  window: z.int().min(0),
  /** Age of the oldest of them. */
  lag_s: z.number().min(0),
  /** Messages made durable since its start. */
  delivered: z.int().min(0),
});
export type BridgeState = z.infer<typeof bridgeState>;

/**
 * One batch of device messages, in columns: message `i` is `topic[i]`, `payload[i]`, `received_at[i]`. All of
 * its devices live in the same fleet shard. Sent again with the same `batch_id` it changes nothing more.
 * Payloads are passed on as the text they arrived as: the edge validates, so that one place says what is valid.
 */
export const ingestBatch = z
  .object({
    batch_id: z.uuid(),
    bridge_id: bridgeId,
    shard: z.int().min(0),
    topic: z.array(z.string().max(1024)).max(MAX_BATCH_MESSAGES),
    payload: z.array(z.string()).max(MAX_BATCH_MESSAGES),
    /** When the bridge received it, Unix milliseconds. */
    received_at: z.array(z.int().min(0).max(8_640_000_000_000)).max(MAX_BATCH_MESSAGES),
    /** Those whose bytes were not UTF-8: their text is only a likeness. */
    not_utf8: z.array(z.int()).max(MAX_BATCH_MESSAGES).optional(),
  })
  .refine((b) => b.topic.length === b.payload.length && b.topic.length === b.received_at.length, {
    error: 'topic, payload and received_at must have the same length',
  });
export type IngestBatch = z.infer<typeof ingestBatch>;

/** The answer to a batch: everything in it is durable, or stored as rejected with its reason. */
export const ingestAnswer = z.object({ accepted: z.int(), rejected: z.int() });
export type IngestAnswer = z.infer<typeof ingestAnswer>;

/** Down the command link, to the bridge. */
export const linkDown = z.discriminatedUnion('type', [
  /** Publish these (QoS 1, in order), then confirm each id in a `published` message. */
  z.object({
    type: z.literal('publish'),
    messages: z.array(
      z.object({
        id: z.string(),
        topic: z.string(),
        payload: z.string(),
        /** Unix milliseconds; a broker with MQTT 5 keeps it no longer for a device that is away. */
        expires_at: z.int().optional(),
      }),
    ),
  }),
  /** The device's certificate is revoked: have the broker end its session. */
  z.object({ type: z.literal('disconnect'), serial_nos: z.array(z.string()) }),
]);
export type LinkDown = z.infer<typeof linkDown>;

/** Up the command link, from the bridge. Besides, the bridge may send the text `ping`; the answer is `pong`. */
export const linkUp = z.discriminatedUnion('type', [
  /** The broker has acknowledged these. */
  z.object({ type: z.literal('published'), ids: z.array(z.string()) }),
]);
export type LinkUp = z.infer<typeof linkUp>;

/** The topic by which a bridge asks the embedded broker to end a device's session. Payload: empty. */
export const disconnectTopic = (serial: string): string => `$skylark/disconnect/${serial}`;
