import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { WebSocket } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newApiKey } from '../store/credentials.ts';
import { call, type Skylark, startSkylark } from './skylark.ts';

let sky: Skylark;
const checksumOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** 64 settings of 4,000 characters. */
const manySettings = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`s${n}`, 'x'.repeat(4000)]));

async function uploadForm(
  fields: Record<string, string>,
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(randomBytes(1000)),
  name = 'a.bin',
) {
  const form = new FormData();
  for (const [key, value] of Object.entries(fields)) form.set(key, value);
  form.set('file', new File([bytes], name));
  const response = await fetch(`${sky.facts.url}/api/v1/firmware`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    body: form,
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

describe('the API', () => {
  beforeAll(async () => {
    sky = await startSkylark();
  });
  afterAll(() => sky.stop());

  it('is healthy, and says so of its stores', async () => {
    expect(await (await fetch(`${sky.facts.url}/health?deep=1`)).json()).toEqual({ status: 'ok' });
    expect(await (await fetch(`${sky.facts.url}/api/v1/health`)).json()).toEqual({ status: 'ok' });
  });

  it('describes itself as OpenAPI 3.1', async () => {
    const { body } = await sky.api('GET', '/openapi.json');
    expect(body.openapi).toBe('3.1.0');
    expect(Object.keys(body.paths as object)).toEqual(
      expect.arrayContaining(['/devices', '/firmware/{id}/publish', '/campaigns/{id}/metrics']),
    );
  });

  it.each(['/devices', '/firmware', '/campaigns', '/stats/devices', '/metrics', '/settings'])(
    'lets nobody in at %s without a key',
    async (path) => {
      for (const key of ['', 'sky_000000000000_wrong', 'a.b.c']) {
        const answer = await call(sky.facts.url, key, 'GET', path);
        expect([answer.status, answer.type]).toEqual([401, 'application/problem+json']);
      }
    },
  );

  it('gives a token for a password, and counts wrong ones', async () => {
    const { email, password } = sky.facts.admin;
    const good = await call(sky.facts.url, '', 'POST', '/auth/token', { email, password });
    expect(good.body).toMatchObject({ role: 'admin', expires_in: 3600 });
    expect((await call(sky.facts.url, String(good.body.token), 'GET', '/devices')).status).toBe(200);
    const statuses = [];
    for (let i = 0; i < 12; i += 1) {
      statuses.push(
        (await call(sky.facts.url, '', 'POST', '/auth/token', { email: 'guess@x.example', password: 'x' }))
          .status,
      );
    }
    expect(statuses.slice(0, 10)).toEqual(Array(10).fill(401));
    expect(statuses.slice(10)).toEqual([429, 429]);
    const refused = await fetch(`${sky.facts.url}/api/v1/auth/token`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ email: 'guess@x.example', password: 'x' }),
    });
    expect(refused.headers.get('Retry-After')).toBe('900');
  });

  it('lets each role do what it may, and nothing else', async () => {
    const client = new Client({ connectionString: sky.facts.database_url });
    await client.connect();
    const keyOf = async (role: string) => {
      const { key, id, secretHash } = await newApiKey();
      await client.query(
        'INSERT INTO api_keys (id, name, role, secret_hash) VALUES ($1, $2::text, $2::text::role, $3)',
        [id, role, secretHash],
      );
      return key;
    };
    const none = '00000000-0000-4000-8000-000000000000';
    const tries = {
      'GET /devices': ['viewer', 'operator', 'admin'],
      'GET /firmware': ['viewer', 'operator', 'admin', 'ci'],
      'GET /metrics': ['viewer', 'operator', 'admin', 'ci'],
      'POST /devices/register': ['operator', 'admin'],
      'POST /firmware/uploads': ['operator', 'admin', 'ci'],
      [`POST /firmware/${none}/publish`]: ['operator', 'admin', 'ci'],
      [`DELETE /firmware/${none}`]: ['operator', 'admin'],
      'POST /campaigns': ['operator', 'admin'],
      [`POST /campaigns/${none}/start`]: ['operator', 'admin'],
      'POST /devices/none/revoke': ['operator', 'admin'],
      'PUT /settings': ['admin'],
      'PUT /tuf/2.root.json': ['admin'],
    };
    for (const role of ['viewer', 'operator', 'admin', 'ci']) {
      const key = await keyOf(role);
      const allowed = [];
      for (const request of Object.keys(tries)) {
        const [method = '', path = ''] = request.split(' ');
        const { status } = await call(
          sky.facts.url,
          key,
          method,
          path,
          method === 'GET' || method === 'DELETE' ? undefined : {},
        );
        expect(status).not.toBe(401);
        if (status !== 403) allowed.push(request);
      }
      expect([role, allowed]).toEqual([
        role,
        Object.entries(tries).flatMap(([request, roles]) => (roles.includes(role) ? [request] : [])),
      ]);
    }
    await client.end();
  });

  it('names every wrong field', async () => {
    const answer = await sky.api('POST', '/devices/register', { serial_no: 'a/b', model: '' });
    expect([answer.status, answer.type]).toEqual([422, 'application/problem+json']);
    expect((answer.body.errors as { field: string }[]).map((e) => e.field)).toEqual(['serial_no', 'model']);
  });

  it('reads lists page by page, filtered, in a stable order', async () => {
    for (let i = 0; i < 7; i += 1) {
      await sky.api('POST', '/devices/register', {
        serial_no: `P-${i}`,
        model: i % 2 === 0 ? 'EVEN' : 'ODD',
        tags: ['t'],
      });
    }
    const serials: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const path: string = `/devices?limit=3&q=P-&tag=t${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const { body } = await sky.api('GET', path);
      serials.push(...(body.items as { serial_no: string }[]).map((d) => d.serial_no));
      cursor = body.next_cursor as string | null;
    }
    expect(serials).toEqual(['P-0', 'P-1', 'P-2', 'P-3', 'P-4', 'P-5', 'P-6']);
    expect(((await sky.api('GET', '/devices?model=ODD')).body.items as unknown[]).length).toBe(3);
    expect((await sky.api('GET', '/devices?cursor=nonsense')).status).toBe(400);
    expect((await sky.api('GET', '/devices?limit=1000')).status).toBe(422);
  });

  it.each([
    ['metadata no database keeps', 'PUT', '', { metadata: { note: 'a\0b' } }, 'metadata'],
    ['metadata without end', 'PUT', '', { metadata: { note: 'x'.repeat(70_000) } }, 'metadata'],
    ['no setting', 'PUT', '/config', { config: {} }, 'config'],
    ['more settings than a message holds', 'PUT', '/config', manySettings, ''],
  ])('refuses for a device: %s', async (_what, method, path, body, field) => {
    await sky.api('POST', '/devices/register', { serial_no: 'LIMITS', model: 'TX-100' });
    const refused = await sky.api(method, `/devices/LIMITS${path}`, body);
    expect(refused).toMatchObject({ status: 422, body: { errors: [{ field }] } });
  });

  it('leaves nothing out of a list, however close together it came', async () => {
    const names = Array.from({ length: 40 }, (_, n) => `v0.0.${n}`);
    await Promise.all(names.map((version) => uploadForm({ version, model: 'CLOSE' })));
    const versions: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await sky.api('GET', `/firmware?model=CLOSE&limit=1${cursor && `&cursor=${cursor}`}`);
      const { items, next_cursor } = body as { items: { version: string }[]; next_cursor: string | null };
      versions.push(...items.map(({ version }) => version));
      cursor = next_cursor;
    }
    expect(versions.sort()).toEqual(names.sort());
  });

  it('keeps each tag of a device once', async () => {
    const { body } = await sky.api('POST', '/devices/register', {
      serial_no: 'TAGGED',
      model: 'TX-100',
      tags: ['a', 'b', 'a'],
    });
    expect(body.tags).toEqual(['a', 'b']);
  });

  it('takes no command for a device that is revoked or decommissioned', async () => {
    for (const end of ['revoke', 'decommission']) {
      await sky.api('POST', '/devices/register', { serial_no: end, model: 'TX-100' });
      await sky.api('POST', `/devices/${end}/${end}`);
      expect((await sky.api('POST', `/devices/${end}/commands`, { command: 'reboot' })).status).toBe(409);
      expect((await sky.api('PUT', `/devices/${end}/config`, { volume: '1' })).status).toBe(409);
    }
  });

  it('refuses a setting of the fleet that there is not, or that stands beside the settings', async () => {
    const { version } = (await sky.api('GET', '/settings')).body;
    const settings = { offline_after: 60 };
    expect((await sky.api('PUT', '/settings', { version, settings })).status).toBe(422);
    const beside = { version, settings: {}, approve_campaigns: true };
    expect((await sky.api('PUT', '/settings', beside)).status).toBe(422);
    expect((await sky.api('GET', '/settings')).body.version).toBe(version);
  });

  it('does a write once when it is sent twice with the same Idempotency-Key', async () => {
    const key = { 'Idempotency-Key': randomUUID() };
    const [first, second] = [
      await sky.api('POST', '/devices/register', { serial_no: 'IDEM', model: 'M' }, key),
      await sky.api('POST', '/devices/register', { serial_no: 'IDEM', model: 'M' }, key),
    ];
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.body).toEqual(first.body);
    expect((await sky.api('POST', '/devices/register', { serial_no: 'OTHER', model: 'M' }, key)).status).toBe(
      422,
    );
  });

  it('takes a call without a body for what it is, whatever type it names', async () => {
    const json = { 'Content-Type': 'application/json' };
    const path = '/campaigns/00000000-0000-4000-8000-000000000000/start';
    for (const body of [undefined, '']) {
      const answer = await fetch(`${sky.facts.url}/api/v1${path}`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${sky.facts.api_key}`, ...json },
        ...(body === undefined ? {} : { body }),
      });
      expect(answer.status).toBe(404);
    }
    expect((await sky.api('POST', '/campaigns', undefined, json)).status).toBe(422);
  });

  it('finds a device by its UUID and by its serial number', async () => {
    const { body } = await sky.api('POST', '/devices/register', { serial_no: 'BOTH', model: 'M' });
    expect((await sky.api('GET', `/devices/${body.id}`)).body).toEqual(
      (await sky.api('GET', '/devices/BOTH')).body,
    );
    expect((await sky.api('DELETE', '/devices/BOTH')).status).toBe(204);
    expect((await sky.api('GET', `/devices/${body.id}`)).status).toBe(404);
  });

  it('tells a device from another whose serial number is the UUID of the first', async () => {
    const first = (await sky.api('POST', '/devices/register', { serial_no: 'FIRST', model: 'M' })).body;
    const again = { serial_no: first.id, model: 'M' };
    const second = (await sky.api('POST', '/devices/register', again)).body;
    expect((await sky.api('GET', `/devices/${first.id}`)).body).toMatchObject({ serial_no: 'FIRST' });
    expect((await sky.api('POST', '/devices/register', again)).body).toMatchObject({ id: second.id });
    expect((await sky.api('GET', `/devices/${second.id}`)).body).toMatchObject({ serial_no: first.id });
  });

  it('keeps nothing of an upload that is not what it says', async () => {
    const bytes = new Uint8Array(randomBytes(1000));
    const named = { model: 'TX-9', version: 'v1.0.0' };
    expect((await uploadForm({ ...named, checksum: `sha256:${'0'.repeat(64)}` }, bytes)).status).toBe(422);
    expect((await uploadForm({ model: 'TX-9' }, bytes)).status).toBe(422);
    expect((await uploadForm({ model: '../TX', version: 'v1' }, bytes)).status).toBe(422);
    expect((await uploadForm(named, bytes, '../../etc/passwd')).status).toBeGreaterThanOrEqual(400);
    expect((await uploadForm(named, bytes, '..')).status).toBe(422);
    const unstorable = await uploadForm({ ...named, release_notes: 'a\0b' }, bytes);
    expect([unstorable.status, unstorable.body.errors]).toMatchObject([422, [{ field: 'release_notes' }]]);
    const latest = await uploadForm({ ...named, min_version: 'latest' }, bytes);
    expect([latest.status, latest.body.errors]).toMatchObject([422, [{ field: 'min_version' }]]);
    expect((await uploadForm(named, new Uint8Array())).status).toBe(422);
    expect((await sky.api('GET', '/firmware?model=TX-9')).body.items).toEqual([]);
    const first = await uploadForm({ ...named, checksum: checksumOf(bytes) }, bytes);
    expect([first.status, first.body.state, first.body.checksum]).toEqual([
      201,
      'uploaded',
      checksumOf(bytes),
    ]);
    expect((await uploadForm(named, bytes)).body.id).toBe(first.body.id);
    expect((await uploadForm(named)).status).toBe(409);
  });

  it('goes on with a broken upload, and refuses parts and sums that do not fit', async () => {
    const bytes = new Uint8Array(randomBytes(9 * 1024 * 1024));
    const begin = { model: 'TX-9', version: 'v2.0.0', checksum: checksumOf(bytes), size_bytes: bytes.length };
    const { body: state } = await sky.api('POST', '/firmware/uploads', begin);
    const put = (id: unknown, part: number, body: Uint8Array<ArrayBuffer>) =>
      fetch(`${sky.facts.url}/api/v1/firmware/uploads/${id}/parts/${part}`, {
        method: 'PUT',
        headers: { Authorization: `Bearer ${sky.facts.api_key}` },
        body,
      });
    const size = Number(state.part_size);
    expect((await put(state.id, 1, bytes.slice(0, size))).status).toBe(204);
    expect((await put(state.id, 3, bytes.slice(0, 1))).status).toBe(422);
    expect((await put(state.id, 2, bytes.slice(0, 5))).status).toBe(422);
    expect((await sky.api('POST', `/firmware/uploads/${state.id}/complete`)).status).toBe(409);
    const { body: again } = await sky.api('POST', '/firmware/uploads', begin);
    expect([again.id, again.parts]).toEqual([state.id, [1]]);
    expect((await put(state.id, 2, bytes.slice(size))).status).toBe(204);
    const { status, body: whole } = await sky.api('POST', `/firmware/uploads/${state.id}/complete`);
    expect(status).toBe(201);
    const download = async () => {
      const got = await fetch(`${sky.facts.url}/api/v1/firmware/${whole.id}/download`, {
        headers: { Authorization: `Bearer ${sky.facts.api_key}` },
      });
      return checksumOf(new Uint8Array(await got.arrayBuffer()));
    };
    expect(await download()).toBe(begin.checksum);
    // The same bytes once more, as a form, and gone again: the first stay.
    const { body: copy } = await uploadForm({ model: 'TX-9', version: 'v2.0.1' }, bytes);
    expect(copy.checksum).toBe(begin.checksum);
    expect((await sky.api('DELETE', `/firmware/${copy.id}`)).status).toBe(204);
    expect(await sky.api('POST', `/firmware/${whole.id}/check`)).toMatchObject({ body: { damage: null } });
    expect(await download()).toBe(begin.checksum);

    const lie = { ...begin, version: 'v3.0.0', checksum: `sha256:${'1'.repeat(64)}`, size_bytes: 10 };
    const { body: other } = await sky.api('POST', '/firmware/uploads', lie);
    expect((await put(other.id, 1, bytes.slice(0, 10))).status).toBe(204);
    const refused = await sky.api('POST', `/firmware/uploads/${other.id}/complete`);
    expect([refused.status, refused.body.title]).toEqual([422, 'Checksum mismatch']);
    expect((await sky.api('GET', '/firmware?version=v3.0.0')).body.items).toEqual([]);

    const small = bytes.slice(0, 10);
    const right = { ...begin, version: 'v3.0.1', checksum: checksumOf(small), size_bytes: 10 };
    const { body: third } = await sky.api('POST', '/firmware/uploads', right);
    // Wrong bytes, then the right ones, twice at once: the last ones count.
    await put(third.id, 1, bytes.slice(20, 30));
    await Promise.all([put(third.id, 1, small), put(third.id, 1, small)]);
    const made = await sky.api('POST', `/firmware/uploads/${third.id}/complete`);
    expect([made.status, made.body.checksum, made.body.size_bytes]).toEqual([201, right.checksum, 10]);
  });

  it('goes on with an upload whose parts were lost, forgets one that can come to nothing, and takes what is said of one last', async () => {
    const bytes = new Uint8Array(randomBytes(8 * 1024 * 1024 + 5));
    const begin = { model: 'TX-9', checksum: checksumOf(bytes), size_bytes: bytes.length };
    const start = async (more: object) =>
      (await sky.api('POST', '/firmware/uploads', { ...begin, ...more })).body;
    const complete = ({ id }: Record<string, unknown>) => sky.api('POST', `/firmware/uploads/${id}/complete`);
    const put = async ({ id }: Record<string, unknown>) => {
      for (const [part, body] of [bytes.slice(0, -5), bytes.slice(-5)].entries())
        await fetch(`${sky.facts.url}/api/v1/firmware/uploads/${id}/parts/${part + 1}`, {
          method: 'PUT',
          headers: { Authorization: `Bearer ${sky.facts.api_key}` },
          body,
        });
    };
    const lost = await start({ version: 'v6.0.0', release_notes: 'old' });
    await put(lost);
    // As where a part was sent twice at once, and the slower one was noted.
    const client = new Client({ connectionString: sky.facts.database_url });
    await client.connect();
    await client.query("UPDATE firmware_upload_parts SET etag = 'other' WHERE part_no = 1");
    await client.end();
    const refused = await complete(lost);
    expect([refused.status, refused.body.title]).toEqual([409, 'Parts lost']);
    const anew = await start({ version: 'v6.0.0', release_notes: 'old' });
    expect([anew.id === lost.id, anew.parts]).toEqual([true, []]);
    await put(anew);
    expect((await start({ version: 'v6.0.0', release_notes: 'new', min_version: 'v5' })).id).toBe(anew.id);

    const late = await start({ version: 'v6.1.0' });
    await put(late);
    await uploadForm({ model: 'TX-9', version: 'v6.1.0' });
    expect((await complete(late)).body.title).toBe('Version taken');
    expect((await complete(late)).status).toBe(404);

    const answers = await Promise.all([1, 2, 3, 4].map(() => complete(anew)));
    expect(answers.filter(({ status }) => status !== 201 && status !== 404)).toEqual([]);
    const { items } = (await sky.api('GET', '/firmware?version=v6.0.0')).body as { items: object[] };
    expect(items).toMatchObject([{ release_notes: 'new', min_version: 'v5', checksum: begin.checksum }]);
  });

  it('lets no unsigned or wrongly signed firmware into a campaign', async () => {
    const { body: uploaded } = await uploadForm({ model: 'TX-9', version: 'v4.0.0' });
    const refused = await sky.api('POST', '/campaigns', { name: 'x', firmware_id: uploaded.id });
    expect([refused.status, refused.body.title]).toEqual([409, 'Firmware not published']);
    const bytes = await sky.api('POST', `/firmware/${uploaded.id}/publish`);
    expect(bytes.status).toBe(200);
    const forged = { signatures: [{ keyid: 'a'.repeat(64), sig: 'b'.repeat(128) }] };
    expect((await sky.api('POST', `/firmware/${uploaded.id}/publish`, forged)).status).toBe(422);
    expect((await sky.api('GET', `/firmware/${uploaded.id}`)).body.state).toBe('uploaded');
  });

  it('streams the fleet and a device, the first event a snapshot', async () => {
    await sky.api('POST', '/devices/register', { serial_no: 'WATCHED', model: 'M' });
    for (const path of ['/api/v1/stream/fleet', '/stream/devices/WATCHED']) {
      const socket = new WebSocket(sky.facts.url.replace('http', 'ws') + path, {
        headers: { Authorization: `Bearer ${sky.facts.api_key}` },
      });
      const first = await new Promise<{ type: string }>((resolve, reject) => {
        socket.addEventListener('error', () => reject(new Error(`${path} failed`)));
        socket.addEventListener('message', ({ data }) => resolve(JSON.parse(String(data))), { once: true });
      });
      expect(first.type).toBe('snapshot');
      socket.close();
    }
    expect((await sky.api('GET', '/stream/fleet')).status).toBe(426);
  });

  it('answers garbage with 4xx, never 5xx', async () => {
    for (const path of [
      '/devices/%00',
      '/devices/%F0%9F',
      '/firmware/not-a-uuid',
      '/campaigns/123',
      '/firmware/uploads/x/complete',
      '/campaigns/00000000-0000-0000-0000-000000000000/metrics',
    ]) {
      const answer = await sky.api('GET', path);
      expect([path, answer.status >= 400 && answer.status < 500]).toEqual([path, true]);
    }
    for (const body of ['{', '[]', '"x"', 'null']) {
      const response = await fetch(`${sky.facts.url}/api/v1/campaigns`, {
        method: 'POST',
        body,
        headers: { Authorization: `Bearer ${sky.facts.api_key}`, 'Content-Type': 'application/json' },
      });
      expect([
        body,
        response.status >= 400 && response.status < 500,
        response.headers.get('Content-Type'),
      ]).toEqual([body, true, 'application/problem+json']);
    }
  });
});
