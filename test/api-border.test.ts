import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Skylark, startSkylark } from './skylark.ts';

let sky: Skylark;

const raw = (method: string, path: string, headers: Record<string, string>, body?: string) =>
  fetch(`${sky.facts.url}/api/v1${path}`, {
    method,
    headers: { Authorization: `Bearer ${sky.facts.api_key}`, ...headers },
    ...(body === undefined ? {} : { body }),
  });
const importing = (key: string, csv: string) =>
  raw('POST', '/devices/import', { 'Content-Type': 'text/csv', 'Idempotency-Key': key }, csv);

describe('at the border of the API', () => {
  beforeAll(async () => {
    sky = await startSkylark();
    await sky.api('POST', '/devices/register', { serial_no: 'D1', model: 'M' });
  });
  afterAll(() => sky.stop());

  it.each([
    ['DELETE', '/devices', 'GET, HEAD'],
    ['PATCH', '/devices/D1', 'GET, HEAD, PUT, DELETE'],
    ['GET', '/auth/token', 'POST'],
  ])('%s %s is answered with the methods there are', async (method, path, allowed) => {
    const answer = await raw(method, path, {});
    expect([answer.status, answer.headers.get('Allow')]).toEqual([405, allowed]);
    expect(answer.headers.get('Content-Type')).toBe('application/problem+json');
    expect((await raw(method, '/nothing/like/this', {})).status).toBe(404);
  });

  it('a body is refused that nobody could need, and whoever sent it hears why', async () => {
    const large = JSON.stringify({ email: 'a@b.example', password: 'x'.repeat(21 * 1024 * 1024) });
    const answer = await raw('POST', '/auth/token', { 'Content-Type': 'application/json' }, large);
    expect([answer.status, answer.headers.get('Content-Type')]).toEqual([413, 'application/problem+json']);
  });

  const BATCH = JSON.stringify({
    batch_id: randomUUID(),
    bridge_id: 'b',
    shard: 0,
    topic: [],
    payload: [],
    received_at: [],
  });
  const TOO_MUCH = ' '.repeat(60 * 1024 * 1024);
  it.each<[string, number, string | Uint8Array<ArrayBuffer>, string]>([
    ['as it is', 200, BATCH, 'identity'],
    ['packed', 200, new Uint8Array(gzipSync(BATCH)), 'GZIP'],
    ['packed and cut off', 400, new Uint8Array(gzipSync(BATCH).subarray(0, 60)), 'gzip'],
    ['that is not packed as it says', 400, BATCH, 'gzip'],
    ['of nothing', 400, '', 'identity'],
    ['that is larger than any can be', 413, TOO_MUCH, 'identity'],
    ['that unpacks to more than any can be', 413, new Uint8Array(gzipSync(TOO_MUCH)), 'gzip'],
  ])('a batch %s is answered %i', async (_what, status, body, encoding) => {
    const answer = await fetch(`${sky.facts.url}/ingest`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${sky.facts.bridge_token}`, 'Content-Encoding': encoding },
      body,
    });
    expect([answer.status, await answer.json()]).toMatchObject([status, status === 200 ? {} : { status }]);
  });

  it.each([
    ['settings of a device', { poll_interval: 300 }, 'poll_interval'],
    [
      'settings of a device, as the command has them',
      { config: { poll_interval: 300 } },
      'config.poll_interval',
    ],
  ])('of %s it is said which one is wrong', async (_what, config, field) => {
    const { status, body } = await sky.api('PUT', '/devices/D1/config', config);
    expect([status, body.errors]).toMatchObject([422, [{ field }]]);
  });

  it('nothing beside the settings of a device is passed over', async () => {
    const { status } = await sky.api('PUT', '/devices/D1/config', { config: { a: '1' }, b: '2' });
    expect(status).toBe(422);
    expect((await sky.api('GET', '/devices/D1/config')).body.items).toEqual([]);
  });

  it('a write without a body is done once for its Idempotency-Key', async () => {
    await sky.api('POST', '/devices/register', { serial_no: 'D2', model: 'M' });
    const revoke = () => raw('POST', '/devices/D2/revoke', { 'Idempotency-Key': 'revoke-1' });
    const replayed = [await revoke(), await revoke()].map(({ status, headers }) => [
      status,
      headers.get('Idempotency-Replayed'),
    ]);
    expect(replayed).toEqual([
      [200, null],
      [200, 'true'],
    ]);
  });

  it('what a device is said to be may not be nested without end', async () => {
    const put = (depth: number) => {
      const body = `{"metadata":{"deep":${'['.repeat(depth)}${']'.repeat(depth)}}}`;
      return raw('PUT', '/devices/D1', { 'Content-Type': 'application/json' }, body);
    };
    expect((await put(20)).status).toBe(200);
    for (const depth of [40, 5000, 20_000]) {
      const answer = await put(depth);
      expect([answer.status, await answer.json()]).toMatchObject([422, { errors: [{ field: 'metadata' }] }]);
    }
  });

  it('a firmware may not be allowed to be larger than one can be', async () => {
    const { version } = (await sky.api('GET', '/settings')).body;
    const change = (max_firmware_bytes: number) =>
      sky.api('PUT', '/settings', { version, settings: { max_firmware_bytes } });
    const { status, body } = await change(6_000_000_000);
    expect([status, body.errors]).toMatchObject([422, [{ field: 'settings.max_firmware_bytes' }]]);
    expect((await change(5_000_000_000)).status).toBe(200);
  });

  it('a misspelt default for campaigns does not undo the others', async () => {
    const change = async (campaign_defaults: object) => {
      const { version } = (await sky.api('GET', '/settings')).body;
      return sky.api('PUT', '/settings', { version, settings: { campaign_defaults } });
    };
    expect((await change({ failure_threshold: 7 })).status).toBe(200);
    expect((await change({ failure_treshold: 8 })).status).toBe(422);
    const { body } = await sky.api('GET', '/settings');
    expect(body.settings).toMatchObject({ campaign_defaults: { failure_threshold: 7 } });
  });

  it.each([
    '/campaigns',
    '/firmware',
    '/devices/D1/history',
    '/devices/D1/updates',
    '/devices/D1/config/history',
  ])('a cursor of another list is refused as one by %s', async (list) => {
    const cursor = Buffer.from('["D1"]').toString('base64url');
    const { status, body } = await sky.api('GET', `${list}?cursor=${cursor}`);
    expect([status, body.title]).toEqual([400, 'Bad cursor']);
    expect((await sky.api('GET', `/devices?cursor=${cursor}`)).status).toBe(200);
  });

  it('a deletion sent twice with the same Idempotency-Key is answered the same', async () => {
    await sky.api('POST', '/devices/register', { serial_no: 'GONE', model: 'M' });
    const key = { 'Idempotency-Key': randomUUID() };
    expect((await sky.api('DELETE', '/devices/GONE', undefined, key)).status).toBe(204);
    expect((await sky.api('DELETE', '/devices/GONE', undefined, key)).status).toBe(204);
    expect((await sky.api('DELETE', '/devices/GONE')).status).toBe(404);
  });

  it('a secret is kept nowhere for a repetition', async () => {
    await sky.api('POST', '/devices/register', { serial_no: 'BORDER-SECRET', model: 'TX-100' });
    const path = '/devices/BORDER-SECRET/enrolment-tokens';
    const { status, body } = await sky.api('POST', path, undefined, { 'Idempotency-Key': randomUUID() });
    expect(status).toBe(201);
    const db = new Client({ connectionString: sky.facts.database_url });
    await db.connect();
    const kept = await db.query('SELECT 1 FROM idempotency_keys WHERE strpos(body, $1) > 0', [body.token]);
    await db.end();
    expect(kept.rows).toEqual([]);
  });

  it('an import sent twice with the same Idempotency-Key is done once', async () => {
    const key = randomUUID();
    const csv = 'serial_no,model\nI1,M\n';
    const first = await (await importing(key, csv)).json();
    expect(first).toMatchObject({ created: 1 });
    expect(await (await importing(key, csv)).json()).toEqual(first);
    expect((await importing(key, `${csv}I2,M\n`)).status).toBe(422);
  });

  it('a write whose first try died with its process can be tried again', async () => {
    const key = { 'Idempotency-Key': randomUUID() };
    const reboot = () => sky.api('POST', '/devices/D1/commands', { command: 'reboot' }, key);
    const first = await reboot();
    const client = new Client({ connectionString: sky.facts.database_url });
    await client.connect();
    const unanswered = (age: string) =>
      client.query(
        `UPDATE idempotency_keys SET status = NULL, body = NULL, created_at = now() - $1::interval WHERE key = $2`,
        [age, key['Idempotency-Key']],
      );
    await unanswered('1 second');
    expect((await reboot()).status).toBe(409);
    await unanswered('10 minutes');
    const again = await reboot();
    await client.end();
    expect(again.status).toBe(202);
    expect(again.body).not.toEqual(first.body);
    expect((await reboot()).body).toEqual(again.body);
  });
});
