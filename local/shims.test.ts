import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { neon, neonConfig } from '@neondatabase/serverless';
import { Redis as Upstash } from '@upstash/redis';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DataDirectory, openData } from './data.ts';
import { serveNeon } from './neon-shim.ts';
import { type PostgresPart, startPostgres } from './postgres.ts';
import { serveEngine } from './redis-engine.ts';
import { serveUpstash } from './upstash-shim.ts';
import type { Wire } from './wire.ts';

describe('the Neon driver, unmodified, against the local database', () => {
  let directory: string;
  let data: DataDirectory;
  let postgres: PostgresPart;
  let shim: Wire;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-shim-'));
    data = await openData(directory, false);
    postgres = await startPostgres(data);
    shim = await serveNeon(postgres.url);
    neonConfig.fetchEndpoint = () => shim.url;
  });
  afterAll(async () => {
    await shim.close();
    await postgres.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('gives back every type as it was put in', async () => {
    const sql = neon(postgres.url);
    const at = new Date('2026-01-02T03:04:05.678Z');
    const [row] = await sql`SELECT ${'grün'}::text AS t, ${42}::int AS i, ${'9007199254740993'}::int8 AS big,
      ${true}::bool AS b, ${null}::text AS n, ${at.toISOString()}::timestamptz AS at,
      ${JSON.stringify({ a: [1] })}::jsonb AS j, ${['x', 'y,"z']}::text[] AS list`;
    expect(row).toEqual({
      t: 'grün',
      i: 42,
      big: '9007199254740993',
      b: true,
      n: null,
      at,
      j: { a: [1] },
      list: ['x', 'y,"z'],
    });
  });

  it('runs a batch in one transaction: a failure in the middle leaves nothing', async () => {
    const sql = neon(postgres.url);
    await sql`CREATE TABLE t (id int PRIMARY KEY)`;
    const failing = sql.transaction([sql`INSERT INTO t VALUES (1)`, sql`INSERT INTO t VALUES (1)`]);
    await expect(failing).rejects.toMatchObject({ code: '23505', constraint: 't_pkey', severity: 'ERROR' });
    expect(await sql`SELECT * FROM t`).toEqual([]);
  });

  it('goes on after the database dropped the connection', async () => {
    const sql = neon(postgres.url);
    await expect(sql`SELECT pg_terminate_backend(pg_backend_pid())`).rejects.toThrow();
    expect(await sql`SELECT 1 AS one`).toEqual([{ one: 1 }]);
  });

  it('refuses loudly what it does not know', async () => {
    const response = await fetch(shim.url.replace('/sql', '/other'), { method: 'POST', body: '{}' });
    expect(response.status).toBe(501);
  });
});

describe('the Upstash client, unmodified, against the Redis from npm', () => {
  let engine: Awaited<ReturnType<typeof serveEngine>>;
  let shim: Wire;
  let client: Upstash;

  beforeAll(async () => {
    engine = await serveEngine(0);
    shim = await serveUpstash(`redis://127.0.0.1:${engine.port}`, 'secret');
    client = new Upstash({ url: shim.url, token: 'secret', enableTelemetry: false });
  });
  afterAll(async () => {
    await shim.close();
    await engine.close();
  });

  it('keeps values, objects and time to live', async () => {
    await client.set('k', { name: 'grün', n: 1 }, { ex: 100 });
    expect(await client.get('k')).toEqual({ name: 'grün', n: 1 });
    expect(await client.ttl('k')).toBeGreaterThan(90);
    expect(await client.del('k')).toBe(1);
    expect(await client.get('k')).toBeNull();
  });

  it('runs pipelines and transactions', async () => {
    expect(await client.pipeline().set('a', 'x').incr('n').get('a').exec()).toEqual(['OK', 1, 'x']);
    expect(await client.multi().incr('n').incr('n').exec()).toEqual([2, 3]);
  });

  it('tells errors as errors', async () => {
    await expect(client.exec(['NOSUCH', 'x'])).rejects.toThrow(/unknown command/);
    const stranger = new Upstash({ url: shim.url, token: 'wrong', enableTelemetry: false, retry: false });
    await expect(stranger.get('k')).rejects.toThrow(/Unauthorized/);
  });

  it('speaks to a plain Redis client too', async () => {
    const redis = new Redis(engine.port, '127.0.0.1');
    await redis.hset('h', { a: '1', b: 'zwei' });
    expect(await redis.hgetall('h')).toEqual({ a: '1', b: 'zwei' });
    expect(await redis.ping()).toBe('PONG');
    redis.disconnect();
  });
});
