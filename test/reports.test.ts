import { Client } from 'pg';
import { WebSocket } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serveNeon } from '../local/neon-shim.ts';
import type { Wire } from '../local/wire.ts';
import type { ErrorReport } from '../protocol/error-report.ts';
import type { UpdateTimeline } from '../protocol/update-timeline.ts';
import { moveToArchive } from '../store/archive.ts';
import { type Database, openDatabase } from '../store/connection.ts';
import { makeEventMonths } from '../store/history.ts';
import { beat, deliver, type Said } from './ingest.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

const everyone = [{ name: 'all', percentage: 100, success_threshold: 0 }];

/** Reports on campaigns whose devices this test plays itself, and what becomes of them in time. */
describe('reports and the archive', () => {
  let sky: Skylark;
  let ledger: Client;
  let neon: Wire;
  let db: Database;
  beforeAll(async () => {
    sky = await startSkylark();
    ledger = new Client({ connectionString: sky.facts.database_url });
    await ledger.connect();
    neon = await serveNeon(sky.facts.database_url);
    db = openDatabase({ DATABASE_URL: sky.facts.database_url, NEON_FETCH_ENDPOINT: neon.url });
  });
  afterAll(async () => {
    await ledger.end();
    await neon.close();
    await sky.stop();
  });

  const read = async (path: string) => {
    const { status, body } = await sky.api('GET', path);
    expect([path, status]).toEqual([path, 200]);
    return body;
  };
  const said = (serial_no: string, id: string, status: string, more: object = {}): Said => ({
    serial_no,
    channel: 'status',
    payload: { campaign_id: id, status, timestamp: Math.floor(Date.now() / 1000), ...more },
  });
  const say = (names: readonly string[], id: string, status: string, more: object = {}) =>
    deliver(
      sky,
      names.map((name) => said(name, id, status, more)),
    );
  const start = async (firmware_id: string, more: object = {}) => {
    const policy = { stages: everyone, failure_threshold: 100, ...more };
    const made = await sky.api('POST', '/campaigns', { name: 'reported', firmware_id, ...policy });
    const started = await sky.api('POST', `/campaigns/${made.body.id}/start`);
    expect(started.status, JSON.stringify(started.body)).toBe(200);
    return String(made.body.id);
  };
  const become = (id: string, status: string) =>
    eventually(
      `the campaign to be ${status}`,
      async () => (await read(`/campaigns/${id}`)).status === status,
    );
  const inState = (id: string, status: string, n: number) =>
    eventually(`${n} devices to be ${status}`, async () => {
      const { items } = await read(`/campaigns/${id}/devices?status=${status}`);
      return (items as unknown[]).length === n;
    });
  const endedLongAgo = (id: string) =>
    ledger.query("UPDATE campaigns SET finished_at = finished_at - interval '100 days' WHERE id = $1", [id]);
  const upkeep = async () => expect((await sky.api('POST', '/upkeep')).status).toBe(204);
  const places = async (id: string) => {
    const { rows } = await ledger.query(
      `SELECT (SELECT count(*)::int FROM campaigns WHERE id = $1) AS campaigns,
         (SELECT count(*)::int FROM campaign_devices WHERE campaign_id = $1) AS updates,
         (SELECT count(*)::int FROM archived_campaigns WHERE id = $1) AS archived_campaigns,
         (SELECT count(*)::int FROM archived_campaign_devices WHERE campaign_id = $1) AS archived_updates`,
      [id],
    );
    return rows[0];
  };

  /** Of six devices, two in a group: three complete, two do not boot and one has no space at first. */
  async function played(model: string): Promise<{ id: string; names: string[] }> {
    const names = Array.from({ length: 6 }, (_, i) => `${model}-${i}`);
    const [a = '', b = '', c = '', ...rest] = names;
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    await deliver(
      sky,
      names.map((name, i) =>
        beat(name, {
          model,
          current_firmware: i === 0 ? 'v1.0.1' : 'v1.0.2',
          ...(i < 2 ? { group: 'lab' } : {}),
        }),
      ),
    );
    const id = await start(firmware.id);
    await inState(id, 'offered', 6);
    await say(names, id, 'downloading');
    await say([a, b], id, 'rollback', { error: 'boot_failure', detail: 'no "heartbeat", \\ 2×' });
    await say([c], id, 'failed', { error: 'no_space' });
    await deliver(
      sky,
      rest.map((name) => beat(name, { model, current_firmware: 'v2.0.0' })),
    );
    await become(id, 'completed');
    expect((await sky.api('POST', `/campaigns/${id}/retry`, { error: 'no_space' })).status).toBe(200);
    await inState(id, 'offered', 1);
    await say([c], id, 'failed', { error: 'no_space' });
    await become(id, 'completed');
    await inState(id, 'failed', 1);
    return { id, names };
  }

  it('groups errors by code, with shares by model, previous version and group', async () => {
    const { id } = await played('REP-ERRORS');
    const report = (await read(`/campaigns/${id}/errors`)) as unknown as ErrorReport;
    expect(report).toMatchObject({ finished: 6, failed: 3, archived: false });
    expect(report.items.map(({ error, count, share, rate }) => [error, count, share, rate])).toEqual([
      ['boot_failure', 2, 66.7, 33.3],
      ['no_space', 1, 33.3, 16.7],
    ]);
    const [boot] = report.items;
    expect(boot?.by_model).toEqual([{ value: 'REP-ERRORS', count: 2, share: 100, finished: 6, rate: 33.3 }]);
    expect(boot?.by_group).toEqual([{ value: 'lab', count: 2, share: 100, finished: 2, rate: 100 }]);
    expect(boot?.by_previous_version).toHaveLength(2);
    expect(boot?.by_previous_version).toContainEqual({
      value: 'v1.0.1',
      count: 1,
      share: 50,
      finished: 1,
      rate: 100,
    });
    const { items } = await read(`/campaigns/${id}/devices?error=boot_failure`);
    expect((items as { serial_no: string }[]).map((u) => u.serial_no)).toEqual([
      'REP-ERRORS-0',
      'REP-ERRORS-1',
    ]);
    const described = (await read('/openapi.json')).paths as Record<string, unknown>;
    expect(Object.keys(described)).toEqual(
      expect.arrayContaining(['/campaigns/{id}/errors', '/campaigns/{id}/devices/{device}']),
    );
  });

  it("tells one device's update step by step, with the attempts before", async () => {
    const { id, names } = await played('REP-STEPS');
    const timeline = (await read(`/campaigns/${id}/devices/${names[2]}`)) as unknown as UpdateTimeline;
    expect(timeline).toMatchObject({ status: 'failed', group: null, from_version: 'v1.0.2', attempt: 2 });
    expect(timeline.steps.map(({ attempt, state, error }) => [attempt, state, error])).toEqual([
      [1, 'offered', null],
      [1, 'downloading', null],
      [1, 'failed', 'no_space'],
      [2, 'offered', null],
      [2, 'failed', 'no_space'],
    ]);
    const whole = timeline.steps.reduce((sum, { duration_s }) => sum + (duration_s ?? 0), 0);
    expect(whole).toBeCloseTo(timeline.duration_s ?? 0, 2);
    expect(timeline.duration_s).toBeGreaterThan(0);
    const byId = await read(`/campaigns/${id}/devices/${timeline.device_id}`);
    expect(byId).toEqual(timeline);
    expect((await read(`/campaigns/${id}/devices/${names[0]}`)).group).toBe('lab');
    expect((await sky.api('GET', `/campaigns/${id}/devices/NOBODY`)).status).toBe(404);
  });

  it('archives what ended long ago, in steps, and reads the same before, between and after', async () => {
    const { id, names } = await played('REP-OLD');
    await endedLongAgo(id);
    const look = async () => {
      const { finished_at: _, ...campaign } = await read(`/campaigns/${id}`);
      const rows = (await read(`/campaigns/${id}/devices?limit=4`)) as {
        items: object[];
        next_cursor: string;
      };
      const more = await read(`/campaigns/${id}/devices?limit=4&cursor=${rows.next_cursor}`);
      const [updates] = (await read(`/devices/${names[0]}/updates`)).items as object[];
      const { items } = (await read('/campaigns')) as { items: { id: string }[] };
      return unmarked({
        campaign,
        metrics: await read(`/campaigns/${id}/metrics`),
        updates: [...rows.items, ...(more.items as object[])],
        of_device: updates,
        timeline: await read(`/campaigns/${id}/devices/${names[2]}`),
        errors: ((await read(`/campaigns/${id}/errors`)) as unknown as ErrorReport).items,
        listed: items.filter((c) => c.id === id).length,
      });
    };
    const before = await look();
    expect(before).toMatchObject({ listed: 1, campaign: { status: 'completed' } });
    // A move that is broken off leaves each update in one of the two places.
    expect(await moveToArchive(db, id, 4)).toEqual({ moved: 4, done: false });
    expect(await places(id)).toEqual({
      campaigns: 1,
      updates: 2,
      archived_campaigns: 0,
      archived_updates: 4,
    });
    expect(await look()).toEqual(before);
    await upkeep();
    expect(await places(id)).toEqual({
      campaigns: 0,
      updates: 0,
      archived_campaigns: 1,
      archived_updates: 6,
    });
    expect(await look()).toEqual(before);
    const socket = new WebSocket(`${sky.facts.url.replace('http', 'ws')}/api/v1/stream/campaigns/${id}`, {
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    });
    const snapshot = await new Promise<string>((resolve, reject) => {
      socket.addEventListener('message', ({ data }) => resolve(String(data)));
      socket.addEventListener('error', () => reject(new Error('no stream')));
    });
    socket.close();
    expect(JSON.parse(snapshot)).toMatchObject({ status: 'completed' });
    expect(await read(`/campaigns/${id}`)).toMatchObject({ archived: true });
    expect(await read(`/campaigns/${id}/devices/${names[2]}`)).toMatchObject({ archived: true });
    const listed = async (archived: boolean) =>
      ((await read(`/campaigns?archived=${archived}`)).items as { id: string }[]).some((c) => c.id === id);
    expect([await listed(true), await listed(false)]).toEqual([true, false]);
    await upkeep();
    expect(await look()).toEqual(before);
  });

  it('lets nobody change what is in the archive', async () => {
    const { items } = (await read('/campaigns?archived=true')) as {
      items: { id: string; firmware_id: string }[];
    };
    const [{ id, firmware_id } = { id: '', firmware_id: '' }] = items;
    for (const action of ['start', 'pause', 'resume', 'cancel', 'retry']) {
      const told = await sky.api('POST', `/campaigns/${id}/${action}`);
      expect([action, told.status, told.body.title]).toEqual([action, 409, 'Campaign archived']);
    }
    expect((await sky.api('PUT', `/campaigns/${id}`, { name: 'other' })).status).toBe(409);
    expect((await sky.api('DELETE', `/firmware/${firmware_id}`)).status).toBe(409);
  });

  it('leaves alone what ended lately, and a campaign with a device still under way', async () => {
    const model = 'REP-BUSY';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    await deliver(sky, [beat('BUSY-0', { model })]);
    const id = await start(firmware.id);
    await inState(id, 'offered', 1);
    await say(['BUSY-0'], id, 'downloading');
    await inState(id, 'downloading', 1);
    await sky.api('POST', `/campaigns/${id}/cancel`);
    await upkeep();
    expect(await places(id)).toMatchObject({ campaigns: 1, archived_campaigns: 0 });
    await endedLongAgo(id);
    await upkeep();
    expect(await places(id)).toMatchObject({ campaigns: 1, updates: 1, archived_updates: 0 });
    await deliver(sky, [beat('BUSY-0', { model, current_firmware: 'v2.0.0' })]);
    await inState(id, 'completed', 1);
    await eventually('the campaign to come to rest and be archived', async () => {
      await endedLongAgo(id);
      await upkeep();
      return (await places(id)).archived_updates === 1;
    });
    expect((await read(`/devices/BUSY-0/updates`)).items).toMatchObject([
      { status: 'completed', archived: true },
    ]);
  });

  const partitionOf = async (device: string) => {
    const { rows } = await ledger.query(
      `SELECT tableoid::regclass::text AS part, to_char(at AT TIME ZONE 'UTC', '"device_events_"YYYY_MM') AS month
       FROM device_events WHERE device_id = (SELECT id FROM devices WHERE serial_no = $1)`,
      [device],
    );
    return rows as { part: string; month: string }[];
  };

  it('has a partition of its own for each month of history, made before its first row comes', async () => {
    const now = new Date();
    const nextMonth = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 15);
    const farMonth = new Date(Date.UTC(now.getUTCFullYear() + 2, 5, 15));
    await deliver(sky, [beat('MONTHS')]);
    for (const at of [now, new Date(nextMonth), farMonth])
      await ledger.query(
        `INSERT INTO device_events SELECT 'month-' || $1::text, id, $1::timestamptz, 'test'
         FROM devices WHERE serial_no = 'MONTHS'`,
        [at.toISOString()],
      );
    const before = await partitionOf('MONTHS');
    expect(before.map(({ part, month }) => part === month)).toEqual([true, true, false]);
    expect(before[2]?.part).toBe('device_events_default');
    // When its month comes near, what was said for it already moves in.
    expect(await makeEventMonths(db, farMonth)).toBe(4);
    expect(await makeEventMonths(db, farMonth)).toBe(0);
    expect((await partitionOf('MONTHS')).every(({ part, month }) => part === month)).toBe(true);
    expect((await read('/devices/MONTHS/history')).items).toHaveLength(3);
  });

  it('drops the months of history the settings no longer keep, and no others', async () => {
    await deliver(sky, [beat('KEEPS')]);
    const kept = async () => ((await read('/devices/KEEPS/history')).items as unknown[]).length;
    await ledger.query("SELECT make_event_month((now() - interval '5 months')::date)");
    for (const months of [0, 1, 5, 30]) {
      await ledger.query(
        `INSERT INTO device_events SELECT 'kept-' || $1::int, id, now() - make_interval(months => $1::int), 'test'
         FROM devices WHERE serial_no = 'KEEPS'`,
        [months],
      );
    }
    await upkeep();
    expect(await kept()).toBe(4);
    const { version } = await read('/settings');
    const set = await sky.api('PUT', '/settings', { version, settings: { keep_history_months: 2 } });
    expect(set.status).toBe(200);
    await upkeep();
    expect(await kept()).toBe(2);
  });

  /** Without the marks that say where it is kept. */
  function unmarked(value: unknown): unknown {
    return JSON.parse(JSON.stringify(value, (key, part) => (key === 'archived' ? undefined : part)));
  }
});
