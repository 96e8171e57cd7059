/** Upstash's REST protocol in front of any Redis: single commands, pipelines, transactions. */
import type { IncomingMessage } from 'node:http';
import { Redis } from 'ioredis';
import { z } from 'zod';
import { log } from './part-process.ts';
import { type Answer, json, serveWire, unknown, type Wire } from './wire.ts';

const command = z.array(z.union([z.string(), z.number(), z.boolean()])).min(1);
const commands = z.array(command);

type Result = { result: unknown } | { error: string };

/** Serves the Redis behind `redisUrl` to whoever has the token. */
export async function serveUpstash(redisUrl: string, token: string): Promise<Wire> {
  const redis = new Redis(redisUrl, {
    maxRetriesPerRequest: 1,
    enableReadyCheck: false,
    commandTimeout: 5000,
    retryStrategy: (tries) => Math.min(tries * 100, 2000),
  });
  redis.on('error', (error) => log('upstash', 'warn', error.message));
  const wire = await serveWire((request, body) => answer(redis, token, request, body));
  return {
    url: wire.url,
    close: async () => {
      await wire.close();
      redis.disconnect();
    },
  };
}

async function answer(redis: Redis, token: string, request: IncomingMessage, body: string): Promise<Answer> {
  if (request.headers.authorization !== `Bearer ${token}`) return json(401, { error: 'Unauthorized' });
  const encode = request.headers['upstash-encoding'] === 'base64' ? toBase64 : (value: unknown) => value;
  const said: unknown = JSON.parse(body);
  switch (`${request.method} ${request.url}`) {
    case 'POST /': {
      const result = await perform(redis, command.parse(said));
      return 'error' in result ? json(400, result) : json(200, { result: encode(result.result) });
    }
    case 'POST /pipeline': {
      const results: Result[] = [];
      for (const one of commands.parse(said)) results.push(await perform(redis, one));
      return json(
        200,
        results.map((r) => ('error' in r ? r : { result: encode(r.result) })),
      );
    }
    case 'POST /multi-exec':
      return transaction(redis, commands.parse(said), encode);
    default:
      return unknown(`${request.method} ${request.url}`);
  }
}

async function perform(redis: Redis, [name, ...args]: z.infer<typeof command>): Promise<Result> {
  try {
    return { result: await redis.call(String(name), ...args.map(String)) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

async function transaction(
  redis: Redis,
  list: z.infer<typeof commands>,
  encode: (value: unknown) => unknown,
): Promise<Answer> {
  const multi = redis.multi();
  for (const [name, ...args] of list) multi.call(String(name), ...args.map(String));
  try {
    const results = await multi.exec();
    if (results === null) return json(400, { error: 'EXECABORT Transaction discarded' });
    return json(
      200,
      results.map(([error, result]) =>
        error === null ? { result: encode(result) } : { error: error.message },
      ),
    );
  } catch (error) {
    return json(400, { error: error instanceof Error ? error.message : String(error) });
  }
}

/** Strings in base64, but for the plain OK, as Upstash does. */
function toBase64(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toBase64);
  return typeof value === 'string' && value !== 'OK' ? Buffer.from(value).toString('base64') : value;
}
