/** The bridge's two doors: batches of device messages in, the command link out. */
import { gunzipSync } from 'node:zlib';
import { type Context, Hono } from 'hono';
import { createMiddleware } from 'hono/factory';
import type { DeviceMessage } from '../../durable-objects/fleet-shard/messages.ts';
import { inPieces } from '../../durable-objects/in-pieces.ts';
import {
  BRIDGE_LEASE_S,
  bridgeId,
  bridgeState,
  type IngestAnswer,
  type IngestBatch,
  ingestBatch,
} from '../../protocol/bridge.ts';
import { SHARD_COUNT, shardOf } from '../../protocol/shards.ts';
import { sameSecret } from '../../store/credentials.ts';
import { addRejected, type RejectedMessage } from '../../store/rejected-messages.ts';
import type { AppEnv } from '../context.ts';
import { invalidInput, problem } from '../problem.ts';
import { digestOf, parseMessage } from './parse.ts';

/** Larger than any batch the protocol allows, once unpacked. */
const MAX_BODY_BYTES = 40 * 1024 * 1024;
/** Most batches come in one piece. */
const PIECE_BYTES = 64 * 1024;
const EXCERPT = 200;

/** Two credentials are good at a time, so that one can be replaced without a gap. */
const isBridge = createMiddleware<AppEnv>(async (c, next) => {
  const given = /^Bearer\s+(\S+)$/i.exec(c.req.header('Authorization') ?? '')?.[1];
  const known = c.env.BRIDGE_TOKENS.split(',').filter((token) => token !== '');
  const matches = await Promise.all(known.map((token) => sameSecret(token, given ?? '')));
  return matches.includes(true) ? next() : problem(401, 'Not a bridge', 'Send the bridge credential.');
});

export const ingest = new Hono<AppEnv>()
  .post('/ingest', isBridge, async (c) => {
    const body = await readBody(c);
    if (body instanceof Response) return body;
    const batch = ingestBatch.safeParse(body);
    if (!batch.success) return invalidInput(batch.error);
    if (batch.data.shard >= SHARD_COUNT)
      return problem(422, 'No such shard', `Shards are 0 to ${SHARD_COUNT - 1}.`);
    const now = Date.now();
    // A bridge whose clock is ahead has received nothing in the future.
    const received_at = batch.data.received_at.map((at) => Math.min(at, now));
    return c.json(await takeBatch(c, { ...batch.data, received_at }));
  })
  .put('/bridge/leases/:id', isBridge, async (c) => {
    const state = bridgeState.safeParse(await c.req.json().catch(() => undefined));
    if (!state.success) return invalidInput(state.error);
    const id = bridgeId.safeParse(c.req.param('id'));
    if (!id.success) return invalidInput(id.error);
    const leases = await c.env.COORDINATOR.getByName('bridges').renewLease(id.data, state.data);
    return c.json({ ttl_s: BRIDGE_LEASE_S, bridges: leases.map(({ holder }) => holder) });
  })
  .delete('/bridge/leases/:id', isBridge, async (c) => {
    await c.env.COORDINATOR.getByName('bridges').releaseLease(c.req.param('id'));
    return c.body(null, 204);
  })
  .get('/bridge/link', isBridge, (c) => {
    if (c.req.header('Upgrade') !== 'websocket') {
      return problem(426, 'WebSocket only', 'Connect with "Upgrade: websocket".');
    }
    return c.env.BROKER_LINK.getByName('main').fetch(c.req.raw);
  });

/**
 * Every message ends in one of two durable places: with its shard, or among the rejected. The batch's shard is the
 * bridge's word; one that is wrong costs calls, and puts no device where nobody looks for it.
 */
async function takeBatch(c: Context<AppEnv>, batch: IngestBatch): Promise<IngestAnswer> {
  const notUtf8 = new Set(batch.not_utf8);
  const parsed = batch.topic.map((topic, i) =>
    notUtf8.has(i)
      ? { reason: 'not UTF-8' }
      : parseMessage(topic, batch.payload[i] ?? '', batch.received_at[i] ?? Date.now()),
  );
  const taken: { index: number; message: DeviceMessage }[] = [];
  const rejected: { index: number; reason: string }[] = [];
  for (const [index, result] of parsed.entries()) {
    if ('reason' in result) {
      rejected.push({ index, reason: result.reason });
    } else {
      taken.push({ index, message: result.message });
    }
  }
  const byShard = Map.groupBy(taken, ({ message }) => shardOf(message.serial_no));
  await Promise.all(
    [...byShard].map(async ([shard, items]) => {
      const refusals = await c.env.FLEET_SHARD.getByName(`shard-${shard}`).ingest(
        items.map(({ message }) => message),
      );
      for (const { index, reason } of refusals)
        rejected.push({ index: items[index]?.index ?? index, reason });
    }),
  );
  await addRejected(
    c.var.db,
    rejected.map((r) => rejection(batch, r)),
  );
  return { accepted: batch.topic.length - rejected.length, rejected: rejected.length };
}

function rejection(
  batch: IngestBatch,
  { index, reason }: { index: number; reason: string },
): RejectedMessage {
  const [topic = '', payload = ''] = [batch.topic[index], batch.payload[index]];
  return {
    id: digestOf(topic, payload),
    at: new Date(batch.received_at[index] ?? Date.now()),
    topic: storable(topic, 256),
    reason: storable(reason, 200),
    excerpt: storable(payload, EXCERPT),
  };
}

/** The beginning of a text, with what no database keeps replaced: NUL, and half of a surrogate pair. */
const storable = (text: string, most: number): string =>
  text.slice(0, most).toWellFormed().replaceAll('\0', '\u{fffd}');

/** The JSON body, unpacked where it is gzipped. */
async function readBody(c: Context<AppEnv>): Promise<unknown> {
  const { body } = c.req.raw;
  if (body === null) return problem(400, 'No body', 'Send a batch as JSON.');
  try {
    const sent = await readAll(body);
    const text = c.req.header('Content-Encoding')?.toLowerCase() === 'gzip' ? unpack(sent) : sent;
    return JSON.parse(text.toString());
  } catch (error) {
    if (error instanceof RangeError)
      return problem(413, 'Batch too large', `At most ${MAX_BODY_BYTES} bytes unpacked.`);
    return problem(400, 'Not a batch', 'The body is neither JSON nor gzipped JSON.');
  }
}

const unpack = (bytes: Buffer): Buffer => gunzipSync(bytes, { maxOutputLength: MAX_BODY_BYTES });

/** Throws a `RangeError` where there is too much, as unpacking does. */
async function readAll(body: ReadableStream): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of inPieces(body, PIECE_BYTES)) {
    size += piece.byteLength;
    if (size > MAX_BODY_BYTES) throw new RangeError('the body is too large');
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
