import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, eventually, type Skylark, startSkylark } from './skylark.ts';

let sky: Skylark;
const url = () => sky.facts.url;
const idOf = (answer: { body: Record<string, unknown> }) => String(answer.body.id);

async function signIn(email: string, password: unknown): Promise<{ status: number; token: string }> {
  const { status, body } = await call(url(), '', 'POST', '/auth/token', { email, password });
  return { status, token: String(body.token) };
}

beforeAll(async () => {
  sky = await startSkylark();
});
afterAll(() => sky.stop());

describe('API keys', () => {
  it('are shown once, may what their role may, and open nothing once they are revoked', async () => {
    const made = await sky.api('POST', '/api-keys', { name: 'ci', role: 'ci' }, { 'Idempotency-Key': 'k-1' });
    expect(made).toMatchObject({ status: 201, body: { name: 'ci', role: 'ci', revoked_at: null } });
    const key = String(made.body.key);
    expect((await call(url(), key, 'GET', '/firmware')).status).toBe(200);
    expect((await call(url(), key, 'GET', '/devices')).status).toBe(403);
    expect(JSON.stringify((await sky.api('GET', '/api-keys')).body)).not.toContain(key);
    const again = await sky.api(
      'POST',
      '/api-keys',
      { name: 'ci', role: 'ci' },
      { 'Idempotency-Key': 'k-1' },
    );
    expect(again).toMatchObject({ status: 409, body: { title: 'Name taken' } });
    expect((await sky.api('DELETE', `/api-keys/${made.body.id}`)).status).toBe(204);
    expect((await call(url(), key, 'GET', '/firmware')).status).toBe(401);
    expect((await sky.api('POST', '/api-keys', { name: 'ci', role: 'ci' })).status).toBe(201);
  });

  it('are made and seen by administrators only', async () => {
    const { body } = await sky.api('POST', '/api-keys', { name: 'night shift', role: 'operator' });
    for (const [method, path] of [
      ['GET', '/api-keys'],
      ['POST', '/api-keys'],
      ['GET', '/users'],
      ['POST', '/users'],
    ] as const) {
      const sent = method === 'POST' ? { name: 'more', role: 'admin' } : undefined;
      expect((await call(url(), String(body.key), method, path, sent)).status).toBe(403);
    }
    for (const wrong of [{ name: '', role: 'ci' }, { name: 'x', role: 'root' }, { name: 'x' }]) {
      expect((await sky.api('POST', '/api-keys', wrong)).status).toBe(422);
    }
    expect((await sky.api('DELETE', '/api-keys/000000000000')).status).toBe(404);
  });
});

describe('people', () => {
  it('get in with the password that was made up, in their role, until they are removed', async () => {
    const made = await sky.api('POST', '/users', { email: 'Operator@Example.com', role: 'operator' });
    expect(made).toMatchObject({ status: 201, body: { email: 'operator@example.com', role: 'operator' } });
    const { token } = await signIn('operator@example.com', made.body.password);
    expect((await call(url(), token, 'GET', '/devices')).status).toBe(200);
    expect((await call(url(), token, 'GET', '/users')).status).toBe(403);
    expect(await sky.api('POST', '/users', { email: 'operator@example.com', role: 'admin' })).toMatchObject({
      status: 409,
    });
    await sky.api('PUT', `/users/${idOf(made)}`, { role: 'ci' });
    expect((await call(url(), token, 'GET', '/devices')).status).toBe(403);
    await sky.api('PUT', `/users/${idOf(made)}`, { password: 'a longer password' });
    expect((await signIn('operator@example.com', made.body.password)).status).toBe(401);
    expect((await call(url(), token, 'GET', '/firmware')).status).toBe(401);
    const anew = await signIn('operator@example.com', 'a longer password');
    expect((await call(url(), anew.token, 'GET', '/firmware')).status).toBe(200);
    expect((await sky.api('DELETE', `/users/${idOf(made)}`)).status).toBe(204);
    expect((await call(url(), anew.token, 'GET', '/firmware')).status).toBe(401);
    expect((await sky.api('DELETE', `/users/${idOf(made)}`)).status).toBe(404);
  });

  it('are listed in pages that leave nobody out, as are API keys', async () => {
    for (const n of [1, 2, 3]) {
      await sky.api('POST', '/users', { email: `page-${n}@example.com`, role: 'viewer' });
      await sky.api('POST', '/api-keys', { name: `page-${n}`, role: 'viewer' });
    }
    for (const [path, name] of [
      ['/users', 'email'],
      ['/api-keys', 'name'],
    ] as const) {
      const { items: all } = (await sky.api('GET', `${path}?limit=200`)).body as { items: { id: string }[] };
      const seen: { id: string }[] = [];
      for (let cursor = ''; ; ) {
        const { body } = await sky.api('GET', `${path}?limit=2${cursor}`);
        const items = body.items as { id: string }[];
        expect(items.length).toBeLessThanOrEqual(2);
        seen.push(...items);
        if (body.next_cursor === null) break;
        cursor = `&cursor=${body.next_cursor}`;
      }
      expect(all.length, name).toBeGreaterThan(3);
      expect(seen).toEqual(all);
      expect((await sky.api('GET', `${path}?cursor=nonsense`)).status).toBe(400);
    }
  });

  it('always have an administrator among them', async () => {
    const { items } = (await sky.api('GET', '/users')).body as { items: { id: string }[] };
    const last = `/users/${items[0]?.id}`;
    expect((await sky.api('DELETE', last)).status).toBe(409);
    expect((await sky.api('PUT', last, { role: 'viewer' })).status).toBe(409);
    const second = await sky.api('POST', '/users', { email: 'second@example.com', role: 'admin' });
    expect((await sky.api('PUT', last, { role: 'viewer' })).status).toBe(200);
    expect((await sky.api('DELETE', `/users/${idOf(second)}`)).status).toBe(409);
    expect((await sky.api('PUT', last, { role: 'admin' })).status).toBe(200);
    for (const wrong of [
      { email: 'nobody', role: 'viewer' },
      { email: 'a@example.com', role: 'viewer', password: 'short' },
    ]) {
      expect((await sky.api('POST', '/users', wrong)).status).toBe(422);
    }
  });
});

describe('the audit log', () => {
  type Entry = { actor: string; action: string; subject: string; allowed: boolean };
  const entries = async (query: string) =>
    (await sky.api('GET', `/audit-log?${query}`)).body as { items: Entry[]; next_cursor: string | null };

  it('has what was done, what was not allowed, and every sign-in; filters combine, and pages leave nothing out', async () => {
    const { body } = await sky.api('POST', '/users', { email: 'auditor@example.com', role: 'viewer' });
    expect((await signIn('auditor@example.com', 'wrong')).status).toBe(401);
    const { token } = await signIn('auditor@example.com', body.password);
    expect((await call(url(), token, 'GET', '/audit-log')).status).toBe(403);
    expect((await signIn('nobody@example.com', 'wrong')).status).toBe(401);

    const about = await eventually('both sign-ins', async () => {
      const { items } = await entries('subject=auditor@example.com&limit=10');
      return items.length === 3 ? items : undefined;
    });
    expect(about).toMatchObject([
      { actor: 'user:auditor@example.com', action: 'user.sign_in', allowed: true },
      { actor: 'user:auditor@example.com', action: 'user.sign_in', allowed: false },
      { action: 'user.create', allowed: true },
    ]);
    const refused = await entries(
      'actor=user:auditor@example.com&allowed=false&action=GET%20/api/v1/audit-log',
    );
    expect(refused.items).toMatchObject([{ subject: 'administer' }]);
    expect((await entries('subject=nobody@example.com')).items).toEqual([]);

    const all = await entries('limit=200');
    const paged: Entry[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const next = await entries(`limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      paged.push(...next.items);
      cursor = next.next_cursor;
    }
    expect(paged).toEqual(all.items);
    for (const wrong of ['allowed=maybe', 'actor=%00', 'cursor=x', 'limit=0']) {
      const answer = await sky.api('GET', `/audit-log?${wrong}`);
      expect([400, 422]).toContain(answer.status);
      expect(answer.type).toContain('application/problem+json');
    }
  });
});
