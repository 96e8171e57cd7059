/** The cache's engine: a `redis-server` of the machine where there is one, else one from npm. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';
import { z } from 'zod';
import type { DataDirectory } from './data.ts';
import { endLeftOver } from './left-over.ts';
import { type Part, startNodePart, startPart, within } from './part.ts';
import { onFreePort } from './ports.ts';
import { until } from './until.ts';

/** Redis as a part, at an address of the loopback interface. */
export interface RedisPart extends Part {
  port: number;
  url: string;
}

/** Starts it, on any free port where none is given. It keeps nothing on disk: it is a cache. */
export async function startRedis(data: DataDirectory, port = 0): Promise<RedisPart> {
  const server = onPath('redis-server');
  if (server !== undefined) {
    const start = (at: number) => serve(server, data, at);
    return port === 0 ? onFreePort(start) : start(port);
  }
  const module = new URL('./redis-engine.ts', import.meta.url);
  const part = await startNodePart('redis', data.logs, module, { REDIS_PORT: String(port) });
  const { port: at } = z.object({ port: z.int() }).parse(part.ready);
  return { ...part, port: at, url: addressOf(at) };
}

async function serve(program: string, data: DataDirectory, port: number): Promise<RedisPart> {
  const url = addressOf(port);
  const pidfile = join(data.path, 'redis.pid');
  await endLeftOver('redis-server', pidfile);
  const settings = {
    port: String(port),
    bind: '127.0.0.1',
    save: '',
    appendonly: 'no',
    dir: data.path,
    pidfile,
  };
  const args = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, value]);
  const part = startPart('redis', data.logs, program, args);
  await within(
    30_000,
    'redis',
    until(() => answers(url), 'Redis to answer'),
    part,
  );
  return { ...part, port, url };
}

const addressOf = (port: number): string => `redis://127.0.0.1:${port}`;

async function answers(url: string): Promise<boolean> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 1000 });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return (await redis.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    redis.disconnect();
  }
}

function onPath(program: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((directory) => join(directory, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
