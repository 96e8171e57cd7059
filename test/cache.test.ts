import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beat, deliver } from './ingest.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

/** Changes of several kinds, each with what must be read after it. */
describe('with a cache that is away', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark();
    await deliver(sky, [beat('CACHED', { battery: 50 })]);
  });
  afterAll(async () => {
    process.kill(sky.facts.pids.redis ?? 0, 'SIGCONT');
    await sky.stop();
  });

  const read = async () =>
    (await sky.api('GET', '/devices/CACHED')).body as { group: string; battery: number };
  const health = async () => (await fetch(`${sky.facts.url}/health?deep=1`)).status;

  it('answers reads and writes, and never keeps a value from before a change made meanwhile', async () => {
    await read();
    const redis = sky.facts.pids.redis ?? 0;
    process.kill(redis, 'SIGSTOP');
    expect((await sky.api('PUT', '/devices/CACHED', { group: 'while-away' })).status).toBe(200);
    expect(await deliver(sky, [beat('CACHED', { battery: 20 })])).toBe(0);
    expect(await read()).toMatchObject({ group: 'while-away', battery: 20 });
    expect(await health()).toBe(503);
    process.kill(redis, 'SIGCONT');
    await eventually('the cache to answer', async () => (await health()) === 200);
    // What the cache held from before must be gone for good, not only while nobody trusts it.
    await eventually('the cache to be used again', async () => {
      expect(await read()).toMatchObject({ group: 'while-away', battery: 20 });
      return (await cached('device:CACHED'))?.includes('while-away');
    });
  });

  it('serves what it holds, and writes a change through', async () => {
    await eventually('the device to be cached', async () => {
      await read();
      return (await cached('device:CACHED'))?.startsWith('{');
    });
    await deliver(sky, [beat('CACHED', { current_firmware: 'v1.2.0' }, Date.now() + 2000)]);
    await eventually('the new version in the cache', async () =>
      (await cached('device:CACHED'))?.includes('v1.2.0'),
    );
    expect(await read()).toMatchObject({ current_firmware: 'v1.2.0' });
    const next = { current_firmware: 'v1.2.0', battery: 71 };
    await deliver(sky, [beat('CACHED', next, Date.now() + 4000)]);
    await eventually('the battery in the cache', async () => (await cached('device:CACHED'))?.includes('71'));
    const { body } = await sky.api('GET', '/devices/CACHED');
    expect(body).toMatchObject({ ...next, group: 'while-away' });
    // A list is read from the ledger: both must say the same, to the last field.
    expect((await sky.api('GET', '/devices?q=CACHED')).body.items).toEqual([body]);
  });

  it('holds firmware, and forgets it when it is published, withdrawn or deleted', async () => {
    const { id, state } = await publishFirmware(sky, 'v3.0.0');
    expect(state).toBe('published');
    const read = async () => (await sky.api('GET', `/firmware/${id}`)).body as { state: string };
    await eventually('it to be cached', async () => {
      expect(await read()).toMatchObject({ state: 'published' });
      return (await cached(`firmware:${id}`))?.startsWith('{');
    });
    await sky.api('POST', `/firmware/${id}/withdraw`, { reason: 'bricks' });
    expect(await read()).toMatchObject({ state: 'withdrawn' });
    const form = new FormData();
    for (const [name, value] of Object.entries({ version: 'v3.1.0', model: 'TX-100' })) form.set(name, value);
    form.set('file', new Blob(['bytes']), 'firmware.bin');
    const uploaded = await fetch(`${sky.facts.url}/api/v1/firmware`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
      body: form,
    });
    const other = (await uploaded.json()) as { id: string };
    await eventually('the other one to be cached', async () => {
      await sky.api('GET', `/firmware/${other.id}`);
      return (await cached(`firmware:${other.id}`))?.startsWith('{');
    });
    expect((await sky.api('DELETE', `/firmware/${other.id}`)).status).toBe(204);
    expect((await sky.api('GET', `/firmware/${other.id}`)).status).toBe(404);
  });

  /** What the cache holds under a key right now. */
  async function cached(key: string): Promise<string | null | undefined> {
    const { Redis } = await import('ioredis');
    const redis = new Redis(sky.facts.redis_url, { lazyConnect: true, maxRetriesPerRequest: 1 });
    try {
      return await redis.get(key);
    } finally {
      redis.disconnect();
    }
  }
});
