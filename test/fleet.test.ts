import { once } from 'node:events';
import { Client } from 'pg';
import { WebSocket } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shardOf } from '../protocol/shards.ts';
import { beat, deliver } from './ingest.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

describe('the fleet, live', () => {
  let sky: Skylark;
  let db: Client;
  beforeAll(async () => {
    sky = await startSkylark({ supervise: true });
    db = new Client({ connectionString: sky.facts.database_url });
    await db.connect();
  });
  afterAll(async () => {
    await db.end();
    await sky.stop();
  });

  const device = async (serial: string) => (await sky.api('GET', `/devices/${serial}`)).body;
  const statusOf = async (serial: string) => {
    const { rows } = await db.query('SELECT status FROM devices WHERE serial_no = $1', [serial]);
    return rows[0]?.status;
  };
  const change = async (settings: object) => {
    const { body } = await sky.api('GET', '/settings');
    return sky.api('PUT', '/settings', { version: body.version, settings });
  };

  it('knows when a device was last seen to the second, while the ledger is left alone', async () => {
    const first = Date.now() - 60_000;
    await deliver(sky, [beat('SEEN', { battery: 80, state: 'mains' }, first)]);
    const before = await db.query("SELECT xmin, last_seen FROM devices WHERE serial_no = 'SEEN'");
    const second = Math.floor(Date.now() / 1000) * 1000;
    await deliver(sky, [beat('SEEN', { battery: 79, state: 'mains' }, second)]);
    expect(await device('SEEN')).toMatchObject({
      last_seen: new Date(second).toISOString(),
      battery: 79,
      state: 'mains',
    });
    const { items } = (await sky.api('GET', '/devices?q=SEEN')).body as { items: { last_seen: string }[] };
    expect(items[0]?.last_seen).toBe(new Date(second).toISOString());
    const after = await db.query("SELECT xmin, last_seen FROM devices WHERE serial_no = 'SEEN'");
    expect(after.rows).toEqual(before.rows);
  });

  it('takes a last will that overtakes a heartbeat for what it is', async () => {
    const t = Date.now();
    await deliver(sky, [beat('WILL', {}, t - 2000)]);
    expect(await statusOf('WILL')).toBe('online');
    const gone = { serial_no: 'WILL', channel: 'status' as const, payload: { status: 'offline' }, at: t };
    await deliver(sky, [gone]);
    await deliver(sky, [beat('WILL', {}, t - 1000)]);
    expect(await statusOf('WILL')).toBe('offline');
    await deliver(sky, [beat('WILL', {}, t + 1000)]);
    expect(await statusOf('WILL')).toBe('online');
    await deliver(sky, [gone]);
    expect(await statusOf('WILL')).toBe('online');
    const { items } = (await sky.api('GET', '/devices/WILL/history')).body as { items: { kind: string }[] };
    expect(items.map(({ kind }) => kind)).toEqual(['online', 'offline']);
  });

  it('brings a device back that went offline just before the edge was killed', async () => {
    await deliver(sky, [beat('CRASHED')]);
    await deliver(sky, [{ serial_no: 'CRASHED', channel: 'status', payload: { status: 'offline' } }]);
    expect(await statusOf('CRASHED')).toBe('offline');
    const again = sky.platform.startedAgain('worker');
    process.kill(sky.facts.pids.worker ?? 0, 'SIGKILL');
    await again;
    await deliver(sky, [beat('CRASHED', {}, Date.now() + 1000)]);
    expect(await statusOf('CRASHED')).toBe('online');
    expect((await device('CRASHED')).status).toBe('online');
  });

  it.each([
    ['was set to the year 2099', 4_102_444_799, 0],
    ['starts again at 1970', 12, 1],
    ['was set back to the year 2023', 1_699_878_900, 2],
  ])('believes a device whose clock %s, and goes on believing it', async (_what, wrong, n) => {
    const serial = `CLOCK-${n}`;
    const setting = (new_value: string, timestamp: number) => ({
      serial_no: serial,
      channel: 'notify' as const,
      payload: { setting_changed: 'volume', new_value, timestamp },
    });
    const now = () => Math.floor(Date.now() / 1000);
    const gone = { serial_no: serial, channel: 'status' as const, payload: { status: 'offline' } };
    const clocks = wrong > now() ? [() => wrong, now] : [now, () => wrong];
    for (const [version, clock] of clocks.entries()) {
      const timestamp = clock();
      await deliver(sky, [beat(serial, { current_firmware: `v1.${version}.0`, timestamp })]);
      await deliver(sky, [setting(String(version), timestamp)]);
      expect(await device(serial)).toMatchObject({ status: 'online', current_firmware: `v1.${version}.0` });
      await deliver(sky, [gone]);
    }
    const { items } = (await sky.api('GET', `/devices/${serial}/config`)).body;
    expect(items).toMatchObject([{ key: 'volume', value: '1' }]);
  });

  it('knows how a device is, though a bridge has brought a message to the wrong shard', async () => {
    const gone = { serial_no: 'ASTRAY', channel: 'status' as const, payload: { status: 'offline' } };
    await deliver(sky, [beat('ASTRAY')]);
    await deliver(sky, [gone], undefined, (serial) => shardOf(serial) ^ 1);
    expect(await statusOf('ASTRAY')).toBe('offline');
    await deliver(sky, [beat('ASTRAY')]);
    expect(await statusOf('ASTRAY')).toBe('online');
  });

  it('believes a clock that was set back a little from its second heartbeat on, and no heartbeat that is late', async () => {
    const now = Date.now();
    const said = (serial: string, version: string, clock: number, at: number) =>
      beat(serial, { current_firmware: version, timestamp: Math.floor((now + clock) / 1000) }, now + at);
    const running = async (serial: string) => (await device(serial)).current_firmware;
    const minutes = (n: number) => n * 60_000;
    await deliver(sky, [said('BACKWARDS', 'v2', minutes(-10), minutes(-10))]);
    await deliver(sky, [said('BACKWARDS', 'v3', minutes(-35), minutes(-5))]);
    expect(await running('BACKWARDS')).toBe('v2');
    await deliver(sky, [said('BACKWARDS', 'v3', minutes(-30), 0)]);
    expect(await running('BACKWARDS')).toBe('v3');
    // What waited somewhere comes all at once.
    await deliver(sky, [said('HELD-UP', 'v2', minutes(-5), minutes(-5))]);
    for (const n of [30, 25, 20]) await deliver(sky, [said('HELD-UP', 'v1', minutes(-n), -n)]);
    // Or the same once more, a little later.
    for (const late of [6000, 40_000, 90_000])
      await deliver(sky, [said('HELD-UP', 'v1', minutes(-20), late - 100_000)]);
    expect(await running('HELD-UP')).toBe('v2');
  });

  it('takes a setting for confirmed by a device whose clock is behind, and not by what it said before', async () => {
    await deliver(sky, [beat('BEHIND')]);
    const now = Math.floor(Date.now() / 1000);
    const notify = (new_value: string, timestamp: number) =>
      deliver(sky, [
        {
          serial_no: 'BEHIND',
          channel: 'notify',
          payload: { setting_changed: 'rate', new_value, timestamp },
        },
      ]);
    const rate = async () => {
      const { items } = (await sky.api('GET', '/devices/BEHIND/config')).body as { items: object[] };
      return items[0];
    };
    await notify('600', now - 20);
    await notify('300', now);
    await sky.api('PUT', '/devices/BEHIND/config', { rate: '600' });
    await notify('600', now - 20);
    expect(await rate()).toMatchObject({ value: '300', pending_value: '600' });
    await notify('600', now - 300);
    expect(await rate()).toMatchObject({ value: '600', pending_value: null });
  });

  it('takes the newest of several heartbeats, in whichever order they come', async () => {
    const now = Date.now();
    await deliver(sky, [
      beat('ORDER', { current_firmware: 'v2' }, now),
      beat('ORDER', { current_firmware: 'v1' }, now - 60_000),
    ]);
    expect((await device('ORDER')).current_firmware).toBe('v2');
  });

  it('tells of a device without a clock when it was heard, and once, however often that comes', async () => {
    const at = Date.now() - 60_000;
    const said = (new_value: string, timestamp: number) => ({
      serial_no: 'CLOCKLESS',
      channel: 'notify' as const,
      payload: { setting_changed: 'mode', new_value, timestamp },
    });
    await deliver(sky, [beat('CLOCKLESS', { timestamp: 0 }, at)]);
    for (const late of [0, 20_000])
      await deliver(sky, [
        { ...said('a', 0), at: at + late },
        { ...said('b', 4_102_444_800), at: at + late },
      ]);
    const { items } = (await sky.api('GET', '/devices/CLOCKLESS/history')).body as {
      items: { kind: string; at: string }[];
    };
    const settings = items.filter(({ kind }) => kind === 'setting');
    expect(settings.map((event) => Date.parse(event.at))).toEqual(
      Array(2).fill(Math.floor(at / 1000) * 1000),
    );
  });

  it('has heard nothing in the future, though a bridge whose clock is ahead says so', async () => {
    await deliver(sky, [beat('AHEAD', { timestamp: 1_700_000_000 }, Date.now() + 3_600_000)]);
    expect(new Date(String((await device('AHEAD')).last_seen)).getTime()).toBeLessThanOrEqual(Date.now());
  });

  it('puts aside what no database can keep, and takes what comes with it', async () => {
    const texts = ['\0', '\ud800'].map((group) => beat('ODD', { group }));
    // What was wrong is named, and cannot be kept either.
    const names = ['a\0', 'b\ud800', `${'c'.repeat(188)}\u{1f600}`].map((name) =>
      beat('ODD', { apps: { [name]: '1' } }),
    );
    expect(await deliver(sky, [...names, ...texts, beat('ODD')])).toBe(5);
    expect(await device('ODD')).toMatchObject({ status: 'online', group: null });
    const { items } = (await sky.api('GET', '/rejected-messages')).body as { items: { reason: string }[] };
    expect(items.slice(0, 5).filter(({ reason }) => /^group: no NUL/.test(reason))).toHaveLength(2);
    expect(items.slice(0, 5).filter(({ reason }) => /^apps\./.test(reason))).toHaveLength(3);
  });

  it('lists what was put aside page by page, each once', async () => {
    await deliver(
      sky,
      [1, 2, 3].map((n) => beat('PAGED', { battery: 100 + n })),
    );
    const seen: string[] = [];
    for (let cursor = ''; ; ) {
      const { status, body } = await sky.api('GET', `/rejected-messages?limit=2${cursor}`);
      expect(status).toBe(200);
      const items = body.items as { id: string; topic: string }[];
      expect(items.length).toBeLessThanOrEqual(2);
      seen.push(...items.filter(({ topic }) => topic === 'devices/PAGED/heartbeat').map(({ id }) => id));
      if (body.next_cursor === null) break;
      cursor = `&cursor=${body.next_cursor}`;
    }
    expect(new Set(seen).size).toBe(3);
    expect(seen).toHaveLength(3);
  });

  it('shows a message that is put aside again and again as of its last time, once', async () => {
    const said = { serial_no: 'AGAIN', channel: 'notify', payload: { setting_changed: 7 } } as const;
    const seen = async () => {
      const { items } = (await sky.api('GET', '/rejected-messages?limit=200')).body as {
        items: { topic: string; at: string }[];
      };
      return items.filter(({ topic }) => topic === 'devices/AGAIN/notify');
    };
    const [now, before] = [Date.now(), Date.now() - 3_600_000];
    expect(await deliver(sky, [{ ...said, at: before }, said])).toBe(2);
    await deliver(sky, [{ ...said, at: before }]);
    const [entry, ...others] = await seen();
    expect(others).toEqual([]);
    expect(new Date(entry?.at ?? 0).getTime()).toBeGreaterThanOrEqual(now);
  });

  it('marks a device offline that has been silent for as long as the settings say', async () => {
    await deliver(sky, [beat('QUIET')]);
    expect((await change({ offline_after_s: 5 })).status).toBe(200);
    const since = Date.now();
    await eventually('QUIET to be offline', async () => (await statusOf('QUIET')) === 'offline');
    expect(Date.now() - since).toBeGreaterThan(4000);
    expect((await device('QUIET')).status).toBe('offline');
    expect((await change({ offline_after_s: 300 })).status).toBe(200);
    await deliver(sky, [beat('QUIET', {}, Date.now() + 1000)]);
    expect((await device('QUIET')).status).toBe('online');
  });

  it('makes a device that registers itself wait, where the settings say so', async () => {
    await change({ approve_first: true });
    await deliver(sky, [beat('STRANGER')]);
    const { rows } = await db.query("SELECT approved FROM devices WHERE serial_no = 'STRANGER'");
    expect(rows).toEqual([{ approved: false }]);
    await change({ approve_first: false });
    await deliver(sky, [beat('FRIEND')]);
    const { rows: friends } = await db.query("SELECT approved FROM devices WHERE serial_no = 'FRIEND'");
    expect(friends).toEqual([{ approved: true }]);
  });

  it('does not take a deleted device back for what it said before', async () => {
    await deliver(sky, [beat('GONE')]);
    expect((await sky.api('DELETE', '/devices/GONE')).status).toBe(204);
    expect(await deliver(sky, [beat('GONE')])).toBe(1);
    expect((await sky.api('GET', '/devices/GONE')).status).toBe(404);
    await sky.api('POST', '/devices/register', { serial_no: 'GONE', model: 'TX-100' });
    expect(await deliver(sky, [beat('GONE')])).toBe(0);
  });

  it('keeps what a device said before its first heartbeat arrived', async () => {
    const notify = (serial_no: string) => ({
      serial_no,
      channel: 'notify' as const,
      payload: { setting_changed: 'volume', old_value: '1', new_value: '2', timestamp: 1_700_000_000 },
    });
    expect(await deliver(sky, [notify('EARLY')])).toBe(0);
    expect((await sky.api('GET', '/devices/EARLY')).status).toBe(404);
    await deliver(sky, [beat('EARLY')]);
    const { items } = (await sky.api('GET', '/devices/EARLY/history')).body as { items: unknown[] };
    expect(items).toMatchObject([{ kind: 'setting', detail: { new_value: '2' } }]);
  });

  it('counts a message once, however often its batch comes', async () => {
    const notify = {
      serial_no: 'TWICE',
      channel: 'notify' as const,
      payload: { setting_changed: 'volume', old_value: '1', new_value: '2', timestamp: 1_700_000_000 },
    };
    await deliver(sky, [beat('TWICE')]);
    for (let n = 0; n < 3; n += 1) await deliver(sky, [notify], '7f1bb7ae-8f0b-4d7f-9d53-9a3f0f6a3c11');
    const { items } = (await sky.api('GET', '/devices/TWICE/history')).body as { items: unknown[] };
    expect(items).toHaveLength(1);
    const { body } = await sky.api('GET', '/devices/TWICE/config/history');
    expect(body.items).toHaveLength(1);
  });

  it('takes nothing back when a batch comes again, though the device said another thing in the same second', async () => {
    const timestamp = Math.floor(Date.now() / 1000);
    const said = (old_value: string, new_value: string) => ({
      serial_no: 'AGAIN',
      channel: 'notify' as const,
      payload: { setting_changed: 'volume', old_value, new_value, timestamp },
      at: Date.now(),
    });
    const value = async () => {
      const { body } = await sky.api('GET', '/devices/AGAIN/config');
      return (body.items as { value: string; pending_value: string | null }[])[0];
    };
    await deliver(sky, [beat('AGAIN')]);
    const first = said('1', '2');
    await deliver(sky, [first]);
    await deliver(sky, [said('2', '3')]);
    await sky.api('PUT', '/devices/AGAIN/config', { config: { volume: '2' } });
    await deliver(sky, [first]);
    // By another bridge, after one was killed before it acknowledged.
    await deliver(sky, [{ ...first, at: Date.now() }]);
    expect(await value()).toMatchObject({ value: '3', pending_value: '2' });
    await deliver(sky, [said('3', '2')]);
    expect(await value()).toMatchObject({ value: '2', pending_value: null });
  });

  it('believes a device without a clock that says again what it said before', async () => {
    const at = Date.now();
    const said = (old_value: string, new_value: string, seconds: number) => ({
      serial_no: 'NOCLOCK',
      channel: 'notify' as const,
      payload: { setting_changed: 'led', old_value, new_value, timestamp: 0 },
      at: at + seconds * 1000 - 10_000,
    });
    await deliver(sky, [beat('NOCLOCK')]);
    await deliver(sky, [said('off', 'on', 1)]);
    await deliver(sky, [said('on', 'off', 3)]);
    await deliver(sky, [said('off', 'on', 5)]);
    const { body } = await sky.api('GET', '/devices/NOCLOCK/config');
    expect(body.items).toMatchObject([{ key: 'led', value: 'on' }]);
  });

  it('shows a setting pending until the device confirms it, expired when it does not, and keeps the past', async () => {
    await deliver(sky, [beat('CONF')]);
    const config = async () =>
      ((await sky.api('GET', '/devices/CONF/config')).body as { items: Record<string, unknown>[] }).items;
    await sky.api('PUT', '/devices/CONF/config', { config: { poll_interval: '300s' } });
    expect(await config()).toMatchObject([{ key: 'poll_interval', pending_value: '300s', state: 'pending' }]);
    const said = { setting_changed: 'poll_interval', old_value: '60s', new_value: '300s' };
    await deliver(sky, [
      {
        serial_no: 'CONF',
        channel: 'notify',
        payload: { ...said, timestamp: Math.floor(Date.now() / 1000) },
      },
    ]);
    expect(await config()).toMatchObject([
      { key: 'poll_interval', value: '300s', pending_value: null, state: 'confirmed' },
    ]);
    await change({ command_expiry_s: 10 });
    await sky.api('PUT', '/devices/CONF/config', { config: { poll_interval: '10s' } });
    await db.query("UPDATE device_configs SET pending_until = now() - interval '1 second'");
    const [entry] = await eventually('it to expire', async () => {
      const items = await config();
      return items[0]?.state === 'expired' && items;
    });
    expect(entry).toMatchObject({ value: '300s', pending_value: '10s' });
    const { items } = (await sky.api('GET', '/devices/CONF/config/history')).body as {
      items: { kind: string; value: string; actor: string | null }[];
    };
    expect(items.map(({ kind, value }) => `${kind} ${value}`)).toEqual([
      'requested 10s',
      'confirmed 300s',
      'requested 300s',
    ]);
    expect(items.map(({ actor }) => actor)).toEqual(['key:local', null, 'key:local']);
  });

  it('keeps of many values in one batch what the device said last, and confirms what was asked for', async () => {
    const now = Math.floor(Date.now() / 1000);
    const notify = (setting_changed: string, new_value: string, timestamp: number) => ({
      serial_no: 'MANY',
      channel: 'notify' as const,
      payload: { setting_changed, new_value, timestamp },
    });
    await deliver(sky, [beat('MANY')]);
    await sky.api('PUT', '/devices/MANY/config', { config: { volume: '5', mode: 'eco' } });
    await deliver(sky, [
      notify('volume', '4', now),
      notify('volume', '5', now + 1),
      notify('volume', '7', now + 2),
      notify('volume', '6', now - 5),
      notify('mode', 'fast', now),
    ]);
    const config = (await sky.api('GET', '/devices/MANY/config')).body;
    expect(config.items).toMatchObject([
      { key: 'mode', value: 'fast', pending_value: 'eco', state: 'pending' },
      { key: 'volume', value: '7', pending_value: null, state: 'confirmed' },
    ]);
    await deliver(sky, [notify('volume', '8', now + 1), notify('mode', 'slow', now + 3)]);
    expect((await sky.api('GET', '/devices/MANY/config')).body.items).toMatchObject([
      { key: 'mode', value: 'slow' },
      { key: 'volume', value: '7' },
    ]);
    const { items } = (await sky.api('GET', '/devices/MANY/config/history?key=volume')).body as {
      items: { kind: string }[];
    };
    expect(items.filter(({ kind }) => kind === 'confirmed')).toHaveLength(5);
  });

  it('tells whoever watches the settings of every change, and refuses one made on an old version', async () => {
    const socket = new WebSocket(`${sky.facts.url.replace('http', 'ws')}/api/v1/stream/settings`, {
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    });
    const messages: { type: string; version: number; settings: { feature_flags: object } }[] = [];
    socket.addEventListener('message', ({ data }) => messages.push(JSON.parse(String(data))));
    await eventually('the snapshot', async () => messages.length === 1);
    expect((await change({ feature_flags: { 'new-page': true } })).status).toBe(200);
    const update = await eventually('the update', async () => messages[1]);
    expect(update).toMatchObject({ type: 'update', settings: { feature_flags: { 'new-page': true } } });
    const stale = await sky.api('PUT', '/settings', { version: update.version - 1, settings: {} });
    expect(stale.status).toBe(409);
    const { items } = (await sky.api('GET', '/settings/history')).body as { items: { actor: string }[] };
    expect(items[0]).toMatchObject({ actor: 'key:local', change: { feature_flags: { 'new-page': true } } });
    const closed = once(socket, 'close');
    socket.close();
    await closed;
  });

  it('takes what a new campaign does not say from the settings', async () => {
    await change({ campaign_defaults: { failure_threshold: 3, max_attempts: 2 } });
    const { publishFirmware } = await import('./publish.ts');
    const firmware = await publishFirmware(sky, 'v9.0.0');
    const make = async (more: object) =>
      (await sky.api('POST', '/campaigns', { name: 'x', firmware_id: firmware.id, ...more })).body;
    expect(await make({})).toMatchObject({ failure_threshold: 3, max_attempts: 2, max_concurrent: 1000 });
    expect(await make({ failure_threshold: 20 })).toMatchObject({ failure_threshold: 20, max_attempts: 2 });
  });

  it('keeps the newest 10,000 of what it rejects, also where all of it came at one moment', async () => {
    const at = Date.now();
    const nonsense = (n: number) => ({
      serial_no: 'NONSENSE',
      channel: 'status' as const,
      payload: { status: 'odd', n },
      at,
    });
    for (let n = 0; n < 10_400; n += 400)
      await deliver(
        sky,
        Array.from({ length: 400 }, (_, i) => nonsense(n + i)),
      );
    const { rows } = await db.query('SELECT count(*)::int AS n FROM rejected_messages');
    expect(rows).toEqual([{ n: 10_000 }]);
  });
});
