import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { type IngestBatch, ingestBatch } from '../protocol/bridge.ts';
import type { Batch } from './batcher.ts';
import { newCounters } from './counters.ts';
import { EdgeSender, type Pause } from './edge-sender.ts';

interface Answer {
  status: number;
  body?: string;
  headers?: Record<string, string>;
}
const durable: Answer = { status: 200, body: '{"accepted":1,"rejected":0}' };

const batchOf = (...payloads: string[]): Batch => ({
  shard: 3,
  lane: 'urgent',
  messages: payloads.map((payload) => ({
    topic: 'devices/D1/status',
    payload,
    utf8: true,
    received_at: 1,
    held: [],
  })),
});

describe('a batch', () => {
  let server: Server | undefined;
  let sender: EdgeSender | undefined;
  afterEach(async () => {
    await sender?.close();
    server?.close();
    server?.closeAllConnections();
  });

  /** An edge that gives these answers, and after them the last one again. */
  async function setUp(answer: (batch: IngestBatch, n: number) => Answer, pause?: Pause) {
    const seen: { batch: IngestBatch; authorization: string | undefined; path: string | undefined }[] = [];
    const pauses: number[] = [];
    server = createServer(async (request, response) => {
      const batch = ingestBatch.parse(JSON.parse(gunzipSync(await buffer(request)).toString()));
      seen.push({ batch, authorization: request.headers.authorization, path: request.url });
      const { status, body = '', headers = {} } = answer(batch, seen.length);
      response.writeHead(status, headers).end(body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const counters = newCounters();
    const made = new EdgeSender(
      { url: `http://127.0.0.1:${port}/prefix`, token: 'a-token-of-16-chars', bridgeId: 'b1' },
      counters,
      pause ??
        (async (ms, stopped) => {
          stopped.throwIfAborted();
          pauses.push(ms);
        }),
    );
    sender = made;
    return { seen, pauses, counters, send: (batch: Batch) => made.send(batch, new AbortController().signal) };
  }

  it('is sent in columns, with the credential, and again under the same id until it is durable', async () => {
    const { seen, send, counters } = await setUp((_, n) => (n < 4 ? { status: 503 } : durable));
    await send(batchOf('a', 'b'));
    expect(seen).toHaveLength(4);
    expect(new Set(seen.map(({ batch }) => batch.batch_id)).size).toBe(1);
    expect(seen[3]).toMatchObject({
      authorization: 'Bearer a-token-of-16-chars',
      path: '/prefix/ingest',
      batch: { bridge_id: 'b1', shard: 3, payload: ['a', 'b'], received_at: [1, 1] },
    });
    expect(counters).toMatchObject({ batches: 1, delivered: 2, retries: 3, failures: 3 });
  });

  it('says what of it the edge has put aside', async () => {
    const { send, counters } = await setUp(() => ({ status: 200, body: '{"accepted":1,"rejected":2}' }));
    await send(batchOf('a', 'b', 'c'));
    expect(counters).toMatchObject({ delivered: 3, rejected: 2 });
  });

  it.each([
    ['a proxy that answers in the place of the edge', { status: 200, body: '<html>Welcome</html>' }],
    ['a redirection', { status: 302, headers: { Location: '/' } }],
    ['a wrong address', { status: 404 }],
  ])('is not taken for durable because of %s', async (_what, first) => {
    const { seen, send } = await setUp((_, n) => (n === 1 ? first : durable));
    await send(batchOf('a'));
    expect(seen).toHaveLength(2);
  });

  it('waits slowly, and is not given up, while the credential is wrong', async () => {
    const { send, pauses, counters } = await setUp((_, n) => (n < 3 ? { status: 401 } : durable));
    await send(batchOf('a'));
    expect(pauses).toHaveLength(2);
    for (const ms of pauses) expect(ms).toBeGreaterThanOrEqual(5_000);
    expect(counters.refused).toBe(0);
  });

  it('waits as long as the edge asks for', async () => {
    const busy = { status: 429, headers: { 'Retry-After': '7' } };
    const { send, pauses } = await setUp((_, n) => (n === 1 ? busy : durable));
    await send(batchOf('a'));
    expect(pauses).toEqual([7_000]);
  });

  it('waits no longer once the edge has taken another one', async () => {
    const waits = Promise.withResolvers<void>();
    const { seen, send } = await setUp(
      (_, n) => (n === 1 ? { status: 503 } : durable),
      async (_ms, signal) => {
        waits.resolve();
        await once(signal, 'abort');
        signal.throwIfAborted();
      },
    );
    const first = send(batchOf('a'));
    await waits.promise;
    await send(batchOf('b'));
    await first;
    expect(seen.map(({ batch }) => batch.payload)).toEqual([['a'], ['b'], ['a']]);
  });

  it('that is refused for ever is taken apart until only the message to blame is given up', async () => {
    const { seen, send, counters } = await setUp(({ payload }) =>
      payload.includes('bad') ? { status: 422 } : durable,
    );
    const payloads = Array.from({ length: 500 }, (_, n) => (n === 123 ? 'bad' : String(n)));
    await send(batchOf(...payloads));
    const taken = seen
      .filter(({ batch }) => !batch.payload.includes('bad'))
      .flatMap(({ batch }) => batch.payload);
    expect(taken).toEqual(payloads.filter((p) => p !== 'bad'));
    expect(counters).toMatchObject({ refused: 1, delivered: 499 });
  });

  it('is left when the bridge stops', async () => {
    const { counters } = await setUp(() => ({ status: 503 }));
    const stop = new AbortController();
    const sent = sender?.send(batchOf('a'), stop.signal);
    stop.abort();
    await expect(sent).rejects.toThrow(/abort/i);
    expect(counters.batches).toBe(0);
  });
});
