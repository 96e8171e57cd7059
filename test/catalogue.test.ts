import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiClient } from '../cli/api-client.ts';
import { publish } from '../cli/publish.ts';
import { openSigningKey } from '../cli/tuf-keys.ts';
import { readPublished } from '../cli/tuf-push.ts';
import { type Firmware, firmware } from '../protocol/api.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

let sky: Skylark;

const everyone = { stages: [{ name: 'all', percentage: 100 }] };
const campaign = async (firmware_id: string, more: object = {}): Promise<string> => {
  const made = await sky.api('POST', '/campaigns', { name: 'test', firmware_id, ...everyone, ...more });
  expect(made.status).toBe(201);
  return String(made.body.id);
};
const becomes = (id: string, wanted: string) =>
  eventually(`the campaign to be ${wanted}`, async () => {
    const { body } = await sky.api('GET', `/campaigns/${id}`);
    return body.status === wanted && body;
  });

const checksumOf = (bytes: Uint8Array): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function uploadForm(fields: Record<string, string>, bytes: Uint8Array<ArrayBuffer>) {
  const form = new FormData();
  form.set('file', new File([bytes], 'firmware.bin'));
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  const response = await fetch(`${sky.facts.url}/api/v1/firmware`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    body: form,
  });
  return { status: response.status, body: (await response.json()) as Firmware & { title?: string } };
}

/** The status that a client sees which sends everything before it listens, as the simplest do. */
async function statusHeardLast(method: string, path: string, key: string, type: string, bytes: Buffer) {
  const { hostname, port } = new URL(sky.facts.url);
  const socket = connect(Number(port), hostname);
  const head = [
    `${method} /api/v1${path} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    `Authorization: Bearer ${key}`,
    `Content-Type: ${type}`,
    `Content-Length: ${bytes.length}`,
  ].join('\r\n');
  try {
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.write(`${head}\r\n\r\n`);
      socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return Number(answer.toString().split(' ')[1]);
  } finally {
    socket.destroy();
  }
}

async function download(id: string): Promise<Uint8Array> {
  const got = await fetch(`${sky.facts.url}/api/v1/firmware/${id}/download`, {
    headers: { Authorization: `Bearer ${sky.facts.api_key}` },
  });
  return new Uint8Array(await got.arrayBuffer());
}

/** Answers the status. */
async function putPart(upload: unknown, n: number, body: Uint8Array<ArrayBuffer>): Promise<number> {
  const answer = await fetch(`${sky.facts.url}/api/v1/firmware/uploads/${upload}/parts/${n}`, {
    method: 'PUT',
    headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    body,
  });
  return answer.status;
}

/** The file in which these bytes lie as an object. */
const blobOf = (bytes: Uint8Array): string => blobWith(checksumOf(bytes));

function isStored(bytes: Uint8Array): boolean {
  try {
    return blobOf(bytes) !== '';
  } catch {
    return false;
  }
}

function blobWith(checksum: string): string {
  const stored = join(dirname(dirname(sky.facts.release_key)), 'edge', 'r2');
  const blob = readdirSync(stored, { recursive: true, encoding: 'utf8' })
    .map((name) => join(stored, name))
    .find((file) => statSync(file).isFile() && checksumOf(readFileSync(file)) === checksum);
  if (blob === undefined) throw new Error('these bytes are nowhere');
  return blob;
}

/** Objects under a prefix were put two days ago. */
function growOld(prefix: string): void {
  const stored = join(dirname(dirname(sky.facts.release_key)), 'edge');
  for (const name of readdirSync(stored, { recursive: true, encoding: 'utf8' })) {
    if (!name.includes('R2BucketObject') || !/[0-9a-f]{64}\.sqlite$/.test(name)) continue;
    const db = new DatabaseSync(join(stored, name));
    db.prepare('UPDATE _mf_objects SET uploaded = uploaded - 172800000 WHERE key LIKE ?').run(`${prefix}%`);
    db.close();
  }
}

async function putDocument(id: string, document: string, body: string): Promise<number> {
  const response = await fetch(`${sky.facts.url}/api/v1/firmware/${id}/${document}`, {
    method: 'PUT',
    headers: { Authorization: `Bearer ${sky.facts.api_key}`, 'Content-Type': 'application/json' },
    body,
  });
  return response.status;
}

async function query(text: string, ...values: unknown[]): Promise<void> {
  const database = new Client({ connectionString: sky.facts.database_url });
  await database.connect();
  await database.query(text, values);
  await database.end();
}

describe('the catalogue', () => {
  beforeAll(async () => {
    sky = await startSkylark({ devices: 2 });
  });
  afterAll(() => sky.stop());

  it('takes an app to devices, and is done when their heartbeats show it under its name', async () => {
    const maps = await publishFirmware(sky, 'v3.0.0', { app: 'maps' });
    expect([maps.kind, maps.name]).toEqual(['app', 'maps']);
    const id = await campaign(maps.id);
    await sky.api('POST', `/campaigns/${id}/start`);
    await becomes(id, 'completed');
    const { body: device } = await sky.api('GET', '/devices/VD-0001');
    expect([device.current_firmware, device.apps]).toEqual(['v1.0.0', { maps: 'v3.0.0' }]);
    const { body: where } = await sky.api('GET', `/firmware/${maps.id}/installations`);
    expect([where.count, where.more]).toEqual([2, false]);
    expect(where.sample).toMatchObject([{ serial_no: 'VD-0001' }, { serial_no: 'VD-0002' }]);
    const other = await publishFirmware(sky, 'v3.0.0', { app: 'radio' });
    expect((await sky.api('GET', `/firmware/${other.id}/installations`)).body.count).toBe(0);
    const again = await sky.api('POST', `/campaigns/${await campaign(maps.id)}/start`);
    expect([again.status, String(again.body.detail)]).toEqual([
      409,
      expect.stringMatching(/no device needs/),
    ]);
  });

  it('keeps firmware and apps of the same version apart, and the same app only once', async () => {
    const bytes = new Uint8Array(randomBytes(100));
    const named = { model: 'TX-5', version: 'v1.0.0' };
    expect((await uploadForm(named, bytes)).status).toBe(201);
    expect((await uploadForm({ ...named, kind: 'app', name: 'maps' }, bytes)).status).toBe(201);
    expect((await uploadForm({ ...named, kind: 'app', name: 'radio' }, bytes)).status).toBe(201);
    expect((await uploadForm({ ...named, kind: 'app' }, bytes)).status).toBe(201);
    expect((await uploadForm({ ...named, kind: 'app', name: 'maps' }, bytes)).status).toBe(200);
    const others = new Uint8Array(randomBytes(100));
    expect((await uploadForm({ ...named, kind: 'app', name: 'maps' }, others)).status).toBe(409);
    expect((await uploadForm({ ...named, kind: 'app' }, others)).status).toBe(409);
    for (const wrong of [{ name: 'maps' }, { kind: 'app', name: 'a@b' }, { kind: 'app', name: '../x' }])
      expect((await uploadForm({ ...named, version: 'v2', ...wrong }, others)).status).toBe(422);
    const { body } = await sky.api('GET', '/models');
    expect(body.items).toContainEqual({ model: 'TX-5', firmware_count: 4, latest: null });
  });

  it('withdraws firmware: what runs is paused, and nothing can start or go on', async () => {
    const bad = await publishFirmware(sky, 'v5.0.0');
    // Slow enough that nobody gets it in this test.
    const running = await campaign(bad.id, { target: { serial_nos: ['VD-0001'] }, rate_per_minute: 1 });
    const start_at = new Date(Date.now() + 3_600_000).toISOString();
    const [draft, scheduled] = [await campaign(bad.id), await campaign(bad.id, { start_at })];
    await sky.api('POST', `/campaigns/${running}/start`);
    await sky.api('POST', `/campaigns/${scheduled}/start`);
    const path = `/firmware/${bad.id}/withdraw`;
    expect((await sky.api('POST', path, {})).status).toBe(422);
    const withdrawn = await sky.api('POST', path, { reason: 'bricks the radio' });
    expect(withdrawn.body).toMatchObject({ state: 'withdrawn', withdrawn_reason: 'bricks the radio' });
    expect(await becomes(running, 'paused')).toMatchObject({
      status_reason: 'the firmware was withdrawn: bricks the radio',
    });
    await becomes(scheduled, 'draft');
    for (const [id, action] of [
      [running, 'resume'],
      [draft, 'start'],
      [scheduled, 'start'],
    ]) {
      const refused = await sky.api('POST', `/campaigns/${id}/${action}`);
      expect([refused.status, refused.body.title]).toEqual([409, 'Firmware withdrawn']);
    }
    const made = await sky.api('POST', '/campaigns', { name: 'x', firmware_id: bad.id });
    expect([made.status, made.body.title]).toEqual([409, 'Firmware withdrawn']);
    expect((await sky.api('POST', `/firmware/${bad.id}/publish`)).status).toBe(409);
    expect((await sky.api('POST', path, { reason: 'again' })).body.withdrawn_reason).toBe('bricks the radio');
    expect((await sky.api('POST', `/campaigns/${running}/cancel`)).status).toBe(200);
  });

  it('stores a bill of materials and an advisory beside firmware, fixed once it is published', async () => {
    const { body: row } = await uploadForm({ model: 'TX-100', version: 'v6.0.0' }, new Uint8Array(9));
    expect(await putDocument(row.id, 'sbom', '{"old":true}')).toBe(204);
    expect(await putDocument(row.id, 'sbom', '{"bomFormat":"CycloneDX"}')).toBe(204);
    expect(await putDocument(row.id, 'advisory', '')).toBe(422);
    const stored = await fetch(`${sky.facts.url}/api/v1/firmware/${row.id}/sbom`, {
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    });
    expect([stored.headers.get('Content-Type'), await stored.text()]).toEqual([
      'application/json',
      '{"bomFormat":"CycloneDX"}',
    ]);
    expect((await sky.api('GET', `/firmware/${row.id}/advisory`)).status).toBe(404);
    const published = await publishFirmware(sky, 'v6.1.0');
    expect(await putDocument(published.id, 'advisory', 'CVE-1')).toBe(204);
    expect(await putDocument(published.id, 'advisory', 'CVE-1')).toBe(204);
    expect(await putDocument(published.id, 'advisory', 'CVE-2')).toBe(409);
  });

  it('signs an advisory that came after publication when it is published again, as no newer a release', async () => {
    const key = await openSigningKey(readFileSync(sky.facts.release_key, 'utf8'));
    const api = new ApiClient(sky.facts.url, sky.facts.api_key);
    const row = await publishFirmware(sky, 'v6.2.0');
    const later = await publishFirmware(sky, 'v6.3.0');
    const target = async ({ version }: Firmware) =>
      (await readPublished(sky.facts.url, 'TX-100'))?.signed.targets[`TX-100/${version}.bin`];
    const before = await target(row);
    expect(await putDocument(row.id, 'advisory', 'CVE-3')).toBe(204);
    const described = await api.get(`/firmware/${row.id}`, firmware);
    expect((await publish(api, described, key)).published_at).toBe(row.published_at);
    expect(await target(row)).toEqual({
      ...before,
      custom: { ...before?.custom, advisory: checksumOf(Buffer.from('CVE-3')) },
    });
    const { version } = (await readPublished(sky.facts.url, 'TX-100'))?.signed ?? {};
    for (const one of [described, later]) await publish(api, one, key);
    expect((await readPublished(sky.facts.url, 'TX-100'))?.signed.version).toBe(version);
  });

  it('notices damaged and missing documents, and takes the same ones again', async () => {
    const { body: row } = await uploadForm({ model: 'TX-5', version: 'v83' }, new Uint8Array(83));
    const [sbom, advisory] = [`{"sbom":"${randomUUID()}"}`, `{"advisory":"${randomUUID()}"}`];
    expect(await putDocument(row.id, 'sbom', sbom)).toBe(204);
    expect(await putDocument(row.id, 'advisory', advisory)).toBe(204);
    const damage = async () => {
      const { body } = await sky.api('POST', `/firmware/${row.id}/check`);
      return [body.damage, body.document_damage];
    };
    expect(await damage()).toEqual([null, null]);
    writeFileSync(blobOf(Buffer.from(sbom)), sbom.toUpperCase());
    await query("UPDATE firmware SET checked_at = now() - interval '31 days' WHERE id = $1", row.id);
    expect((await sky.api('POST', '/upkeep')).status).toBe(204);
    const { body: seen } = await sky.api('GET', `/firmware/${row.id}`);
    expect([seen.damage, seen.document_damage]).toEqual([
      null,
      expect.stringMatching(/^sbom: they have the checksum sha256:[0-9a-f]{64} now$/),
    ]);
    expect((await sky.api('GET', '/metrics')).body.text).toMatch(/skylark_firmware_damaged\{store="r2"\} 1/);
    // Stored for one of those that have it, it is mended for all.
    const { body: other } = await uploadForm({ model: 'TX-5', version: 'v86' }, new Uint8Array(86));
    expect(await putDocument(other.id, 'sbom', sbom)).toBe(204);
    expect((await sky.api('GET', `/firmware/${row.id}`)).body.document_damage).toBeNull();
    expect(await damage()).toEqual([null, null]);
    const gone = '0'.repeat(64);
    await query('UPDATE firmware SET advisory_sha256 = $2 WHERE id = $1', row.id, gone);
    expect(await damage()).toEqual([null, 'advisory: they are missing']);
    expect((await sky.api('DELETE', `/firmware/${row.id}`)).status).toBe(204);
  });

  it('removes documents that nothing has any more, a day later', async () => {
    const [kept, replaced, deleted] = [randomUUID(), randomUUID(), randomUUID()];
    const { body: row } = await uploadForm({ model: 'TX-5', version: 'v84' }, new Uint8Array(84));
    const { body: other } = await uploadForm({ model: 'TX-5', version: 'v85' }, new Uint8Array(85));
    for (const text of [replaced, kept]) expect(await putDocument(row.id, 'sbom', text)).toBe(204);
    expect(await putDocument(other.id, 'advisory', deleted)).toBe(204);
    expect((await sky.api('DELETE', `/firmware/${other.id}`)).status).toBe(204);
    const there = () => [kept, replaced, deleted].map((text) => isStored(Buffer.from(text)));
    await sky.api('POST', '/upkeep');
    expect(there()).toEqual([true, true, true]);
    growOld('documents/');
    await sky.api('POST', '/upkeep');
    await eventually('their bytes to go', async () => !there()[1] && !there()[2]);
    expect(there()).toEqual([true, false, false]);
    expect(await putDocument(row.id, 'sbom', kept)).toBe(204);
  });

  it('deletes only what nothing needs', async () => {
    const { items } = (await sky.api('GET', '/firmware?name=maps&model=TX-100')).body as {
      items: Firmware[];
    };
    const refused = await sky.api('DELETE', `/firmware/${items[0]?.id}`);
    expect([refused.status, refused.body.title]).toEqual([409, 'Firmware in use']);
    const running = await uploadForm({ model: 'TX-100', version: 'v1.0.0' }, new Uint8Array(5));
    const installed = await sky.api('DELETE', `/firmware/${running.body.id}`);
    expect([installed.status, String(installed.body.detail)]).toEqual([
      409,
      expect.stringMatching(/Devices run it/),
    ]);
    const { body: free } = await uploadForm({ model: 'TX-5', version: 'v9' }, new Uint8Array(7));
    expect((await sky.api('DELETE', `/firmware/${free.id}`)).status).toBe(204);
  });

  it('notices damaged bytes, and says so where people and monitors look', async () => {
    const bytes = new Uint8Array(randomBytes(4321));
    const { body: row } = await uploadForm({ model: 'TX-5', version: 'v8' }, bytes);
    expect((await sky.api('POST', `/firmware/${row.id}/check`)).body.damage).toBeNull();
    const blob = blobOf(bytes);
    bytes[7] = (bytes[7] ?? 0) ^ 1;
    writeFileSync(blob, bytes);
    const checked = await sky.api('POST', `/firmware/${row.id}/check`);
    expect(checked.body.damage).toMatch(/they have the checksum sha256:/);
    expect((await sky.api('GET', '/metrics')).body.text).toMatch(/skylark_firmware_damaged\{store="r2"\} 1/);
    expect(await sky.api('POST', `/firmware/${row.id}/publish`)).toMatchObject({
      status: 409,
      body: { title: 'Firmware damaged' },
    });
    bytes[7] = (bytes[7] ?? 0) ^ 1;
    writeFileSync(blob, bytes);
    // Checked lately, it is not read again; a month later it is, and there is nothing wrong with it any more.
    await sky.api('POST', '/upkeep');
    expect((await sky.api('GET', `/firmware/${row.id}`)).body.damage).not.toBeNull();
    await query("UPDATE firmware SET checked_at = now() - interval '31 days' WHERE id = $1", row.id);
    expect((await sky.api('POST', '/upkeep')).status).toBe(204);
    expect((await sky.api('GET', `/firmware/${row.id}`)).body.damage).toBeNull();
  });

  it('notices bytes that break off, and goes on to the next', async () => {
    const files = [9000, 9001].map((size) => new Uint8Array(randomBytes(size)));
    const rows: Firmware[] = [];
    for (const [n, bytes] of files.entries()) {
      rows.push((await uploadForm({ model: 'TX-9', version: `v1.${n}` }, bytes)).body);
      truncateSync(blobOf(bytes), 4000);
    }
    expect((await sky.api('POST', '/upkeep')).status).toBe(204);
    for (const { id } of rows) {
      expect((await sky.api('GET', `/firmware/${id}`)).body.damage).toMatch(/^they (cannot be read|have)/);
      expect((await sky.api('DELETE', `/firmware/${id}`)).status).toBe(204);
    }
  });

  it('offers firmware to nobody that was found damaged, whether its campaign runs or is to start', async () => {
    const row = await publishFirmware(sky, 'v87.0.0');
    const running = await campaign(row.id, { rate_per_minute: 1 });
    const waiting = await campaign(row.id, { start_at: new Date(Date.now() + 2000).toISOString() });
    const held = await campaign(row.id);
    for (const id of [running, waiting])
      expect((await sky.api('POST', `/campaigns/${id}/start`)).status).toBe(200);
    writeFileSync(blobWith(row.checksum), randomBytes(row.size_bytes));
    expect((await sky.api('POST', `/firmware/${row.id}/check`)).body.damage).not.toBeNull();
    expect((await sky.api('GET', `/campaigns/${running}`)).body).toMatchObject({
      status: 'paused',
      status_reason: expect.stringMatching(/stored bytes of the firmware are damaged/),
    });
    await becomes(waiting, 'paused');
    for (const [id, action] of [
      [running, 'resume'],
      [held, 'start'],
    ])
      expect((await sky.api('POST', `/campaigns/${id}/${action}`)).body.title).toBe('Firmware damaged');
    for (const id of [running, waiting]) await sky.api('POST', `/campaigns/${id}/cancel`);
    await sky.api('POST', `/firmware/${row.id}/withdraw`, { reason: 'damaged' });
  });

  it('notices damage when it is downloaded, and serves the mended bytes from then on', async () => {
    const bytes = new Uint8Array(randomBytes(5432));
    const named = { model: 'TX-5', version: 'v82' };
    const { body: row } = await uploadForm(named, bytes);
    const spoilt = randomBytes(5432);
    writeFileSync(blobOf(bytes), spoilt);
    expect(await download(row.id)).toEqual(new Uint8Array(spoilt));
    await eventually('the damage to be noted', async () => {
      const { body } = await sky.api('GET', `/firmware/${row.id}`);
      return body.damage !== null;
    });
    const link = await fetch(`${sky.facts.url}/api/v1/firmware/${row.id}/download`, {
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    });
    expect([link.status, await link.json()]).toEqual([
      503,
      expect.objectContaining({ title: 'Firmware damaged' }),
    ]);
    expect(await uploadForm(named, bytes)).toMatchObject({ status: 200, body: { damage: null } });
    for (let n = 0; n < 3; n += 1) expect(await download(row.id)).toEqual(bytes);
  });

  it('never loses bytes that one firmware takes over from another that is deleted at that moment', async () => {
    for (let n = 0; n < 15; n += 1) {
      const bytes = new Uint8Array(randomBytes(300));
      const { body: first } = await uploadForm({ model: 'TX-8', version: `v1.${n}` }, bytes);
      const begin = {
        model: 'TX-8',
        version: `v2.${n}`,
        checksum: checksumOf(bytes),
        size_bytes: bytes.length,
      };
      const form = { model: 'TX-8', version: `v3.${n}` };
      const [, begun, whole] = await Promise.all([
        sky.api('DELETE', `/firmware/${first.id}`),
        sky.api('POST', '/firmware/uploads', begin),
        uploadForm(form, bytes),
      ]);
      const taken = begun.body.firmware as Firmware | null;
      expect([200, 201, 409]).toContain(whole.status);
      for (const id of [taken?.id, whole.status === 409 ? undefined : whole.body.id])
        if (id !== undefined) expect((await sky.api('POST', `/firmware/${id}/check`)).body.damage).toBeNull();
    }
  });

  it('keeps the part of an upload whose bytes another firmware had, and was deleted', async () => {
    const bytes = new Uint8Array(randomBytes(300));
    const begin = (version: string) => ({
      model: 'TX-8',
      version,
      checksum: checksumOf(bytes),
      size_bytes: bytes.length,
    });
    const { body: upload } = await sky.api('POST', '/firmware/uploads', begin('v9.1'));
    expect(await putPart(upload.id, 1, bytes)).toBe(204);
    const { body: other } = await sky.api('POST', '/firmware/uploads', begin('v9.2'));
    const { id } = other.firmware as Firmware;
    expect((await sky.api('DELETE', `/firmware/${id}`)).status).toBe(204);
    expect((await sky.api('POST', `/firmware/uploads/${upload.id}/complete`)).status).toBe(201);
  });

  it('takes a part for what it is, also where another was sent with the same Idempotency-Key', async () => {
    const [wrong, right] = [new Uint8Array(100).fill(0xfe), new Uint8Array(100).fill(0xff)];
    const begin = { model: 'TX-8', version: 'v9.9', checksum: checksumOf(right), size_bytes: 100 };
    const { body: upload } = await sky.api('POST', '/firmware/uploads', begin);
    const headers = { Authorization: `Bearer ${sky.facts.api_key}`, 'Idempotency-Key': 'part-1' };
    for (const body of [wrong, right]) {
      const url = `${sky.facts.url}/api/v1/firmware/uploads/${upload.id}/parts/1`;
      expect((await fetch(url, { method: 'PUT', headers, body })).status).toBe(204);
    }
    expect(await putPart(upload.id, 1.5, right)).toBe(422);
    expect((await sky.api('POST', `/firmware/uploads/${upload.id}/complete`)).status).toBe(201);
  });

  it('keeps nothing of a file whose name another took at the same moment', async () => {
    for (let n = 0; n < 8; n += 1) {
      const files = [1, 2].map(() => new Uint8Array(randomBytes(5000 + n)));
      const named = { model: 'TX-81', version: `v7.${n}` };
      const answers = await Promise.all(files.map((bytes) => uploadForm(named, bytes)));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
      for (const [i, bytes] of files.entries()) {
        if (answers[i]?.status === 201) expect(blobOf(bytes)).not.toBe('');
        else await eventually('its bytes to go', async () => !isStored(bytes));
      }
    }
  });

  it('keeps nothing of a part that comes when its upload has ended and its firmware is deleted', async () => {
    const bytes = randomBytes(1000);
    const begin = { model: 'TX-81', version: 'v8.0', checksum: checksumOf(bytes), size_bytes: 1000 };
    const { body: upload } = await sky.api('POST', '/firmware/uploads', begin);
    expect(await putPart(upload.id, 1, new Uint8Array(bytes))).toBe(204);
    const { hostname, port } = new URL(sky.facts.url);
    const late = connect(Number(port), hostname);
    const head = [
      `PUT /api/v1/firmware/uploads/${upload.id}/parts/1 HTTP/1.1`,
      `Host: ${hostname}:${port}`,
      `Authorization: Bearer ${sky.facts.api_key}`,
      'Content-Length: 1000',
    ].join('\r\n');
    late.write(`${head}\r\n\r\n`);
    late.write(bytes.subarray(0, 500));
    // Until it is known that this upload is there.
    await wait(300);
    const { body: row } = await sky.api('POST', `/firmware/uploads/${upload.id}/complete`);
    expect((await sky.api('DELETE', `/firmware/${row.id}`)).status).toBe(204);
    late.write(bytes.subarray(500));
    const [answer] = (await once(late, 'data')) as [Buffer];
    late.destroy();
    expect(['404', '409']).toContain(answer.toString().split(' ')[1]);
    expect(isStored(bytes)).toBe(false);
  });

  it('gives an upload up once that two end at once and that has other bytes than it said', async () => {
    const size_bytes = 9 * 1024 * 1024;
    const begin = { model: 'TX-81', version: 'v8.1', checksum: `sha256:${'3'.repeat(64)}`, size_bytes };
    const { body: upload } = await sky.api('POST', '/firmware/uploads', begin);
    const partSize = Number(upload.part_size);
    for (const [n, size] of [partSize, size_bytes - partSize].entries())
      expect(await putPart(upload.id, n + 1, new Uint8Array(size))).toBe(204);
    const complete = () => sky.api('POST', `/firmware/uploads/${upload.id}/complete`);
    const statuses = (await Promise.all([complete(), complete()])).map(({ status }) => status);
    expect(statuses).toContain(422);
    for (const status of statuses) expect([404, 422]).toContain(status);
    expect((await complete()).status).toBe(404);
  });

  it('takes parts again that were sent several times at once', async () => {
    const part = 8 * 1024 * 1024;
    const bytes = new Uint8Array(randomBytes(part + 50));
    const begin = { model: 'TX-8', version: 'v8', checksum: checksumOf(bytes), size_bytes: bytes.length };
    const { body: upload } = await sky.api('POST', '/firmware/uploads', begin);
    const send = (n: number) => putPart(upload.id, n, bytes.slice((n - 1) * part, n * part));
    // What R2 has kept is no longer what was noted.
    for (const n of [1, 2]) expect(await send(n)).toBe(204);
    await query("UPDATE firmware_upload_parts SET etag = 'another' WHERE upload_id = $1", upload.id);
    const complete = () => sky.api('POST', `/firmware/uploads/${upload.id}/complete`);
    expect(await complete()).toMatchObject({ status: 409, body: { title: 'Parts lost' } });
    expect((await sky.api('POST', '/firmware/uploads', begin)).body).toMatchObject({
      id: upload.id,
      parts: [],
    });
    for (const n of [1, 2]) expect(await send(n)).toBe(204);
    expect((await complete()).status).toBe(201);
  });

  it('takes what is said of firmware that is here already, until it is published', async () => {
    const bytes = new Uint8Array(randomBytes(100));
    const named = { model: 'TX-8', version: 'v6' };
    const { body: row } = await uploadForm({ ...named, release_notes: 'first' }, bytes);
    const again = await uploadForm({ ...named, min_version: 'v5' }, bytes);
    expect(again.body).toMatchObject({ id: row.id, release_notes: 'first', min_version: 'v5' });
    const begin = {
      ...named,
      release_notes: 'second',
      checksum: checksumOf(bytes),
      size_bytes: bytes.length,
    };
    await sky.api('POST', '/firmware/uploads', begin);
    expect((await sky.api('GET', `/firmware/${row.id}`)).body).toMatchObject({
      release_notes: 'second',
      min_version: 'v5',
    });
  });

  it('takes no other bytes for a version that is there, however it is spelt', async () => {
    const bytes = new Uint8Array(randomBytes(100));
    const named = (version: string) => ({ model: 'TX-8', version });
    const { body: first } = await uploadForm(named('v7.1'), bytes);
    for (const version of ['v7.1', '7.1', 'v7.1.0', '7.1.0.0'])
      expect(await uploadForm(named(version), new Uint8Array(randomBytes(100)))).toMatchObject({
        status: 409,
        body: { title: 'Version taken' },
      });
    expect(await uploadForm(named('7.1.0'), bytes)).toMatchObject({ status: 200, body: { id: first.id } });
    expect((await uploadForm(named('v7.1.0-rc.1'), new Uint8Array(randomBytes(100)))).status).toBe(201);
  });

  it('takes the same bytes again where those it has are damaged, whole and in parts', async () => {
    const bytes = new Uint8Array(randomBytes(1234));
    const named = { model: 'TX-5', version: 'v81' };
    const { body: row } = await uploadForm(named, bytes);
    const damage = async () => {
      writeFileSync(blobOf(bytes), randomBytes(1234));
      expect((await sky.api('POST', `/firmware/${row.id}/check`)).body.damage).not.toBeNull();
    };
    await damage();
    expect(await uploadForm(named, bytes)).toMatchObject({ status: 200, body: { id: row.id, damage: null } });
    await damage();
    const begin = { ...named, checksum: checksumOf(bytes), size_bytes: bytes.length };
    const { body: upload } = await sky.api('POST', '/firmware/uploads', begin);
    expect(upload.firmware).toBeNull();
    await putPart(upload.id, 1, bytes);
    const { body: mended } = await sky.api('POST', `/firmware/uploads/${upload.id}/complete`);
    expect([mended.id, mended.damage]).toEqual([row.id, null]);
    expect(await download(row.id)).toEqual(bytes);
  });

  it('never publishes a version twice, though its firmware was withdrawn or deleted', async () => {
    const gone = async (version: string, withdraw: boolean) => {
      const { id } = await publishFirmware(sky, version, { model: 'TX-6' });
      if (withdraw) await sky.api('POST', `/firmware/${id}/withdraw`, { reason: 'a test' });
      expect((await sky.api('DELETE', `/firmware/${id}`)).status).toBe(204);
    };
    await gone('v1', false);
    await gone('v2', true);
    await expect(publishFirmware(sky, 'v1', { model: 'TX-6' })).rejects.toThrow(/released with other bytes/);
    await expect(publishFirmware(sky, 'v2', { model: 'TX-6' })).rejects.toThrow(/withdrawn for good/);
  });

  it('clears uploads nobody goes on with, and leaves the others', async () => {
    const bytes = randomBytes(10);
    const begin = { model: 'TX-5', version: 'v30', checksum: checksumOf(bytes), size_bytes: 10 };
    const lie = { ...begin, version: 'v31', checksum: `sha256:${'2'.repeat(64)}` };
    const { body: old } = await sky.api('POST', '/firmware/uploads', begin);
    const { body: young } = await sky.api('POST', '/firmware/uploads', lie);
    const part = await fetch(`${sky.facts.url}/api/v1/firmware/uploads/${old.id}/parts/1`, {
      method: 'PUT',
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
      body: bytes,
    });
    expect(part.status).toBe(204);
    await query("UPDATE firmware_uploads SET updated_at = now() - interval '4 days' WHERE id = $1", old.id);
    await sky.api('POST', '/upkeep');
    expect((await sky.api('POST', `/firmware/uploads/${old.id}/complete`)).status).toBe(404);
    expect((await sky.api('POST', `/firmware/uploads/${young.id}/complete`)).status).toBe(409);
    // Nothing is left of its bytes either.
    const { body: again } = await sky.api('POST', '/firmware/uploads', begin);
    expect([again.id === old.id, again.parts, again.firmware]).toEqual([false, [], null]);
  });

  it('takes a form of many parts without holding it, and keeps nothing of one that is too large', async () => {
    const bytes = new Uint8Array(randomBytes(20 * 1024 * 1024 + 11));
    const { status, body } = await uploadForm({ model: 'TX-5', version: 'v20' }, bytes);
    expect([status, body.size_bytes]).toEqual([201, bytes.length]);
    const got = await fetch(`${sky.facts.url}/api/v1/firmware/${body.id}/download`, {
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    });
    expect(Buffer.from(await got.arrayBuffer()).equals(Buffer.from(bytes))).toBe(true);
    const { version } = (await sky.api('GET', '/settings')).body;
    await sky.api('PUT', '/settings', { version, settings: { max_firmware_bytes: 9 * 1024 * 1024 } });
    expect((await uploadForm({ model: 'TX-5', version: 'v21' }, bytes)).status).toBe(413);
    const begin = { model: 'TX-5', version: 'v21', checksum: `sha256:${'1'.repeat(64)}` };
    const large = { ...begin, size_bytes: 2 ** 32 + 1 };
    expect((await sky.api('POST', '/firmware/uploads', large)).status).toBe(413);
  });

  it('hears out whoever sends too much or in vain, so that they learn why', async () => {
    const { version, settings } = (await sky.api('GET', '/settings')).body;
    await sky.api('PUT', '/settings', {
      version,
      settings: { ...(settings as object), max_firmware_bytes: 9 * 1024 * 1024 },
    });
    let form = new FormData();
    form.set('file', new File([new Uint8Array(randomBytes(20 * 1024 * 1024))], 'firmware.bin'));
    const request = new Response(form);
    const type = request.headers.get('Content-Type') ?? '';
    const body = Buffer.from(await request.arrayBuffer());
    const { api_key } = sky.facts;
    const octets = 'application/octet-stream';
    expect(await statusHeardLast('POST', '/firmware', api_key, type, body)).toBe(413);
    expect(await statusHeardLast('POST', '/firmware', 'sk_unknown', type, body)).toBe(401);
    form = new FormData();
    form.set('firmware', new File(['abc'], 'firmware.bin'));
    const unknown = await fetch(`${sky.facts.url}/api/v1/firmware`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${api_key}` },
      body: form,
    });
    expect([unknown.status, await unknown.text()]).toEqual([422, expect.stringContaining('Unknown file')]);
    const part = `/firmware/uploads/${randomUUID()}/parts/1`;
    expect(await statusHeardLast('PUT', part, api_key, octets, body)).toBe(404);
    expect(await statusHeardLast('POST', '/campaigns', api_key, 'application/json', body)).toBe(413);
  });
});
