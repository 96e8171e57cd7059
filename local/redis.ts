/** The cache's engine: a `redis-server` of the machine where there is one, else one from npm. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';
import { z } from 'zod';
import type { DataDirectory } from './data.ts';
import { type Part, startNodePart, startPart, within } from './part.ts';
import { onFreePort } from './ports.ts';
import { until } from './postgres.ts';

/** Starts it on a free port of the loopback interface. It keeps nothing on disk: it is a cache. */
export async function startRedis(data: DataDirectory): Promise<{ part: Part; url: string }> {
  const server = onPath('redis-server');
  if (server === undefined) {
    const module = new URL('./redis-engine.ts', import.meta.url);
    const part = await startNodePart('redis', data.logs, module, { REDIS_PORT: '0' });
    return { part, url: addressOf(z.object({ port: z.int() }).parse(part.ready).port) };
  }
  return onFreePort(async (port) => {
    const url = addressOf(port);
    const args = [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      data.path,
    ];
    const part = startPart('redis', data.logs, server, args);
    await within(
      30_000,
      'redis',
      until(() => answers(url), 'Redis to answer'),
      part,
    );
    return { part, url };
  });
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
