import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hash32 } from '../protocol/shards.ts';
import { beat, deliver } from './ingest.ts';
import { playedFleet, serials, type Update } from './played-fleet.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

/** Campaigns on devices this test plays itself, message by message. */
describe('the campaign engine', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark();
  });
  afterAll(() => sky.stop());

  const model = (n: number | string) => `ENGINE-${n}`;
  const { fleet, said, gone, make, start, campaign, metrics, members, offered, become, update } = playedFleet(
    () => sky,
  );
  const etag = async (id: string) =>
    (
      await fetch(`${sky.facts.url}/api/v1/campaigns/${id}`, {
        headers: { Authorization: `Bearer ${sky.facts.api_key}` },
      })
    ).headers.get('ETag') ?? '';
  const namesOf = (devices: unknown) =>
    (devices as { serial_no: string }[]).map(({ serial_no }) => serial_no);
  const everyone = [{ name: 'all', percentage: 100, success_threshold: 0 }];

  it('opens a manual stage when an operator says so, and any stage at an operator’s word', async () => {
    const of = model('manual');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('MAN', 10), of);
    const id = await start({
      firmware_id: firmware.id,
      stages: [
        { name: 'one', count: 1 },
        { name: 'hand', percentage: 50, start: 'manual' },
        { name: 'rest', percentage: 100, min_duration_s: 3600 },
      ],
    });
    await update(id, await offered(id, 1), of, 'v2.0.0');
    await eventually('it to wait for an operator', async () =>
      String((await campaign(id)).status_reason).includes('waits for an operator'),
    );
    expect((await metrics(id)).counts.completed).toBe(1);
    const before = { 'If-Match': await etag(id) };
    const presses = [1, 2, 3].map(() => sky.api('POST', `/campaigns/${id}/advance`, { stage: 0 }));
    expect((await Promise.all(presses)).map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    const second = await offered(id, 4);
    // Whoever pressed then meant that stage.
    expect((await sky.api('POST', `/campaigns/${id}/advance`, undefined, before)).status).toBe(412);
    expect((await metrics(id)).stage.index).toBe(1);
    expect(second).toHaveLength(4);
    // Nobody of the second stage has finished: forced all the same.
    expect((await sky.api('POST', `/campaigns/${id}/advance`)).status).toBe(200);
    await offered(id, 9);
    expect((await sky.api('POST', `/campaigns/${id}/advance`)).status).toBe(409);
  });

  it('keeps no room for a device that is offline, and offers it the update when it is heard from', async () => {
    const of = model('away');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const names = serials('AW', 8);
    const [there = '', ...away] = names;
    await fleet(names, of);
    await deliver(
      sky,
      away.map((serial_no) => ({ serial_no, channel: 'status', payload: { status: 'offline' } })),
    );
    const id = await start({ firmware_id: firmware.id, stages: everyone, max_concurrent: 1 });
    expect(await offered(id, 1)).toEqual([there]);
    const waits = await eventually('the others to wait', async () => {
      const list = (await members(id, 'pending')).filter(({ detail }) => detail?.includes('is offline'));
      return list.length >= 1 && list;
    });
    await update(id, [there], of, 'v2.0.0');
    await fleet(away.slice(0, 1), of);
    await eventually('the one that is back to be offered it', async () =>
      (await members(id, 'offered')).some(({ serial_no }) => serial_no === away[0]),
    );
    expect(waits.every(({ serial_no }) => away.includes(serial_no))).toBe(true);
  });

  it('offers a device its update at once, however often it goes away with an offer and comes back', async () => {
    const of = model('flaky');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const [name = ''] = serials('FL', 1);
    await fleet([name], of);
    const id = await start({ firmware_id: firmware.id, stages: everyone });
    await offered(id, 1);
    const offeredAt = async () => (await members(id, 'offered'))[0]?.updated_at;
    for (let round = 0; round < 3; round += 1) {
      const before = await offeredAt();
      // An offer that is just out may still be answered.
      await eventually('another offer', async () => {
        await deliver(sky, [gone(name)]);
        await fleet([name], of);
        const at = await offeredAt();
        return at !== undefined && at !== before;
      });
    }
  });

  // It takes so long that a shard with few of them has lost its memory by then, and still knows that they are gone.
  it('finds the devices that are there among many that are not, a few at a time', async () => {
    const of = model('few-there');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const inOrder = serials('FEW', 130).sort((a, b) => hash32(a) - hash32(b));
    const [there = '', ...away] = inOrder.toReversed();
    await fleet(inOrder, of);
    await deliver(
      sky,
      away.map((serial_no) => ({ serial_no, channel: 'status', payload: { status: 'offline' } })),
    );
    const id = await start({ firmware_id: firmware.id, stages: everyone, max_concurrent: 1 });
    expect(await offered(id, 1)).toEqual([there]);
  });

  it('does not blame devices for a pause in which they could not take their offers, or be asked again', async () => {
    const [of, other] = [model('rest'), model('rest-later')];
    const [there = '', away = '', later = ''] = serials('PA', 3);
    await fleet([there, away], of);
    await fleet([later], other);
    await deliver(sky, [gone(away)]);
    const begin = async (model: string) =>
      start({
        firmware_id: (await publishFirmware(sky, 'v2.0.0', { model })).id,
        stages: [{ name: 'all', percentage: 100 }],
        update_timeout_s: 10,
        failure_threshold: 100,
      });
    const [id, alone] = [await begin(of), await begin(other)];
    expect([await offered(id, 1), await offered(alone, 1)]).toEqual([[there], [later]]);
    await eventually('the other one to be awaited', async () =>
      (await members(id)).some(({ detail }) => detail?.includes('is offline')),
    );
    await deliver(sky, [said(later, alone, 'deferred', { until: Math.floor(Date.now() / 1000) + 60 })]);
    for (const paused of [id, alone]) await sky.api('POST', `/campaigns/${paused}/pause`);
    await deliver(sky, [said(there, id, 'downloading')]);
    // What was under way when it paused has no more time than otherwise; what waits has.
    await eventually('the end of what was under way', async () => (await members(id, 'failed')).length === 1);
    await fleet([away], of);
    for (const paused of [alone, id]) await sky.api('POST', `/campaigns/${paused}/resume`);
    expect(await offered(id, 1)).toEqual([away]);
    expect((await members(alone))[0]).toMatchObject({ status: 'pending', error: 'deferred' });
  });

  it('leaves out devices that are revoked, deleted or taken out of service meanwhile, whatever they were doing', async () => {
    const of = model('out');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const names = serials('OUT', 5);
    await fleet(names, of);
    const id = await start({ firmware_id: firmware.id, stages: everyone, max_concurrent: 4 });
    const [a = '', b = '', c = '', d = ''] = await offered(id, 4);
    const waiting = names.find((name) => ![a, b, c, d].includes(name)) ?? '';
    await deliver(sky, [said(a, id, 'downloading')]);
    await sky.api('POST', `/devices/${a}/revoke`);
    await sky.api('DELETE', `/devices/${b}`);
    await sky.api('POST', `/devices/${c}/decommission`);
    await sky.api('DELETE', `/devices/${waiting}`);
    await update(id, [d], of, 'v2.0.0');
    await become(id, 'completed');
    const ended = (await members(id)).map(({ serial_no, status, error }) => [serial_no, status, error]);
    expect(ended.sort()).toEqual(
      [
        [a, 'skipped', 'revoked'],
        [b, 'skipped', 'deleted'],
        [c, 'skipped', 'decommissioned'],
        [waiting, 'skipped', 'deleted'],
        [d, 'completed', null],
      ].sort(),
    );
    expect((await metrics(id)).counts).toMatchObject({ completed: 1, skipped: 4, failed: 0 });
  });

  it('gives devices that failed another attempt, all or those of one error, and leaves one out', async () => {
    const of = model('retry');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const names = serials('RE', 4);
    await fleet(names, of);
    const id = await start({
      firmware_id: firmware.id,
      stages: everyone,
      failure_threshold: 100,
      max_concurrent: 3,
    });
    const first = await offered(id, 3);
    const left = names.find((name) => !first.includes(name)) ?? '';
    const skipped = await sky.api('POST', `/campaigns/${id}/devices/${left}/skip`);
    expect(skipped.body).toMatchObject({ status: 'skipped', error: 'skipped_by_operator' });
    const begins = await sky.api('POST', `/campaigns/${id}/devices/${first[0]}/skip`);
    expect(begins).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('may begin any moment') },
    });
    const [a = '', b = '', c = ''] = first;
    await deliver(sky, [
      said(a, id, 'failed', { error: 'flash_error' }),
      said(b, id, 'failed', { error: 'no_space' }),
    ]);
    await update(id, [c], of, 'v2.0.0');
    await become(id, 'completed');
    expect((await sky.api('POST', `/campaigns/${id}/retry`, { error: 'no_space' })).body.status).toBe(
      'active',
    );
    expect(await offered(id, 1)).toEqual([b]);
    await update(id, [b], of, 'v2.0.0');
    await become(id, 'completed');
    expect((await metrics(id)).counts).toMatchObject({ completed: 2, failed: 1, skipped: 1 });
    expect((await sky.api('POST', `/campaigns/${id}/retry`, { error: 'no_space' })).status).toBe(409);
    expect((await sky.api('POST', `/campaigns/${id}/devices/${c}/skip`)).status).toBe(409);
  });

  it('takes back whoever begins by an offer it had when the campaign ended, and skips who does not', async () => {
    const of = model('ending');
    for (const version of ['v1.0.0', 'v2.0.0']) await publishFirmware(sky, version, { model: of });
    const { items } = (await sky.api('GET', `/firmware?model=${of}&version=v2.0.0`)).body as {
      items: { id: string }[];
    };
    const names = serials('END', 4);
    await fleet(names, of);
    const id = await start({ firmware_id: items[0]?.id, stages: everyone, on_failure: 'rollback' });
    const [bad = '', late = '', busy = '', deaf = ''] = await offered(id, 4);
    await deliver(sky, [said(bad, id, 'failed')]);
    await become(id, 'rolled_back');
    expect((await metrics(id)).counts).toMatchObject({ failed: 1, offered: 3, skipped: 0 });
    await deliver(sky, [said(late, id, 'downloading'), said(busy, id, 'installing')]);
    await update(id, [late], of, 'v2.0.0');
    await deliver(sky, [said(busy, id, 'rollback')]);
    await eventually('the offer nobody takes to run out', async () =>
      (await members(id, 'skipped')).find(
        ({ serial_no, error }) => serial_no === deaf && error === 'rolled_back',
      ),
    );
    expect((await metrics(id)).counts).toMatchObject({ failed: 1, completed: 1, rollback: 1, skipped: 1 });
    const back = await eventually('the campaign that takes it back', async () => {
      const list = (await sky.api('GET', '/campaigns')).body.items as {
        id: string;
        name: string;
        created_by: string;
      }[];
      return list.find(({ created_by }) => created_by === `campaign:${id}`);
    });
    expect(await members(back.id)).toMatchObject([{ serial_no: late }]);
  });

  it('hears of a device that is tried again while its failure was still being written', async () => {
    const of = model('retry-race');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(['RACE-0'], of);
    const id = await start({ firmware_id: firmware.id, stages: everyone, failure_threshold: 100 });
    await offered(id, 1);
    const db = new Client({ connectionString: sky.facts.database_url });
    await db.connect();
    try {
      await db.query('BEGIN');
      await db.query('LOCK TABLE campaign_devices IN EXCLUSIVE MODE');
      await deliver(sky, [said('RACE-0', id, 'failed')]);
      const waiting = `SELECT FROM pg_locks WHERE NOT granted AND relation = 'campaign_devices'::regclass`;
      await eventually('the ledger to wait', async () => (await db.query(waiting)).rowCount !== 0);
      const retried = sky.api('POST', `/campaigns/${id}/retry`);
      // By the time this is answered, so would the other be if it did not wait.
      for (let i = 0; i < 10; i += 1) await campaign(id);
      await db.query('COMMIT');
      expect((await retried).body.status).toBe('active');
    } finally {
      await db.end();
    }
    await update(id, await offered(id, 1), of, 'v2.0.0');
    await become(id, 'completed');
    expect((await metrics(id)).counts).toMatchObject({ completed: 1, failed: 0 });
  });

  it('starts with the approval of a second person, where the settings ask for it', async () => {
    const of = model('approve');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('AP', 1), of);
    const set = async (on: boolean) => {
      const { body } = await sky.api('GET', '/settings');
      await sky.api('PUT', '/settings', { version: body.version, settings: { approve_campaigns: on } });
    };
    await set(true);
    const id = await make({ firmware_id: firmware.id });
    expect((await sky.api('POST', `/campaigns/${id}/start`)).status).toBe(409);
    expect((await sky.api('POST', `/campaigns/${id}/approve`)).status).toBe(409);
    const { body: second } = await sky.api('POST', '/auth/token', sky.facts.admin);
    const other = { Authorization: `Bearer ${second.token}` };
    const approved = await sky.api('POST', `/campaigns/${id}/approve`, undefined, other);
    expect(approved.body.approved_by).toBe(`user:${sky.facts.admin.email}`);
    await sky.api('PUT', `/campaigns/${id}`, { failure_threshold: 50 });
    expect((await sky.api('POST', `/campaigns/${id}/start`)).status).toBe(409);
    await sky.api('POST', `/campaigns/${id}/approve`, undefined, other);
    expect((await sky.api('POST', `/campaigns/${id}/start`)).status).toBe(200);
    await set(false);
  });

  it('refuses a change made on an old version of the campaign', async () => {
    const of = model('match');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const create = () =>
      fetch(`${sky.facts.url}/api/v1/campaigns`, {
        method: 'POST',
        headers: {
          Authorization: `Bearer ${sky.facts.api_key}`,
          'Content-Type': 'application/json',
          'Idempotency-Key': 'if-match',
        },
        body: JSON.stringify({ name: 'matched', firmware_id: firmware.id }),
      });
    const created = await create();
    const { id } = (await created.json()) as { id: string };
    const old = await etag(id);
    // Made, and told so once more.
    expect([created, await create()].map(({ headers }) => headers.get('ETag'))).toEqual([old, old]);
    const put = (match: string) =>
      sky.api('PUT', `/campaigns/${id}`, { max_concurrent: 7 }, { 'If-Match': match });
    expect((await put(old)).status).toBe(200);
    expect((await put(old)).status).toBe(412);
    expect((await put(await etag(id))).status).toBe(200);
    expect((await put('*')).status).toBe(200);
    for (const path of ['start', 'devices/MATCH-0/skip'])
      expect(
        (await sky.api('POST', `/campaigns/${id}/${path}`, undefined, { 'If-Match': old })).status,
        path,
      ).toBe(412);
  });

  it('begins nothing outside its maintenance windows, and nothing after its end', async () => {
    const of = model('window');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('WIN', 2), of);
    const [hour, other] = [new Date().getUTCHours(), (new Date().getUTCHours() + 12) % 24];
    const window = (h: number) => ({
      from: `${String(h).padStart(2, '0')}:00`,
      to: `${String((h + 1) % 24).padStart(2, '0')}:59`,
    });
    const stages = [{ name: 'one', count: 1 }, ...everyone];
    const id = await start({ firmware_id: firmware.id, stages, windows: [window(other)] });
    await eventually('it to say when it goes on', async () =>
      String((await campaign(id)).status_reason).includes('the next maintenance window opens at'),
    );
    expect((await metrics(id)).counts).toMatchObject({ pending: 2, offered: 0 });
    await sky.api('PUT', `/campaigns/${id}`, { windows: [window(hour)] });
    const [begun = ''] = await offered(id, 1);
    const end_at = new Date(Date.now() - 1000).toISOString();
    await sky.api('PUT', `/campaigns/${id}`, { end_at });
    await eventually('the rest to be skipped', async () => (await metrics(id)).counts.skipped === 1);
    // It had its offer before the end.
    await update(id, [begun], of, 'v2.0.0');
    await become(id, 'completed');
    expect(await members(id, 'completed')).toMatchObject([{ serial_no: begun }]);
    expect(await members(id, 'skipped')).toMatchObject([{ error: 'ended' }]);
    expect((await metrics(id)).stages.map(({ state }) => state)).toEqual(['stopped', 'stopped']);
  });

  it('judges anew who waits for a window when the windows change, and says that it ended', async () => {
    const of = model('window-edit');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('WED', 2), of);
    const hour = (new Date().getUTCHours() + 12) % 24;
    const closed = {
      from: `${String(hour).padStart(2, '0')}:00`,
      to: `${String(hour).padStart(2, '0')}:30`,
      time_zone: 'device',
    };
    const id = await start({ firmware_id: firmware.id, stages: everyone, windows: [closed] });
    await eventually('both to wait for their window', async () => {
      const waits = (await members(id)).filter(({ detail }) => detail?.includes('maintenance window'));
      return waits.length === 2;
    });
    await sky.api('PUT', `/campaigns/${id}`, { windows: [] });
    await offered(id, 2);
    await sky.api('PUT', `/campaigns/${id}`, { end_at: new Date(Date.now() - 1000).toISOString() });
    await become(id, 'completed');
    expect((await campaign(id)).status_reason).toMatch(/^the campaign ended at /);
  });

  it('refuses a stage that would have nobody: a group with a rule, or named before', async () => {
    const of = model('rule-stage');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await sky.api('POST', '/groups', { name: 'old-ones', rule: { fw_version: '< v2.0.0' } });
    const refused = async (...groups: string[]) => {
      const stages = [...groups.map((group) => ({ group })), { percentage: 100 }];
      const made = await sky.api('POST', '/campaigns', { name: 'x', firmware_id: firmware.id, stages });
      return [made.status, made.body.errors];
    };
    expect(await refused('old-ones')).toMatchObject([422, [{ field: 'stages.0.group' }]]);
    expect(await refused('lab', 'lab')).toMatchObject([422, [{ field: 'stages' }]]);
  });

  it('never has two updates on one device: the higher priority first, and a newer campaign takes over', async () => {
    const of = model('two');
    const [v2, v3, v4] = [
      await publishFirmware(sky, 'v2.0.0', { model: of }),
      await publishFirmware(sky, 'v3.0.0', { model: of }),
      await publishFirmware(sky, 'v4.0.0', { model: of }),
    ];
    await fleet(serials('TWO', 2), of);
    const old = await start({ name: 'old', firmware_id: v2.id, stages: everyone, max_concurrent: 1 });
    const [busy = ''] = await offered(old, 1);
    await deliver(sky, [said(busy, old, 'downloading')]);
    const newer = await start({ name: 'newer', firmware_id: v3.id, stages: everyone });
    const [free = ''] = await offered(newer, 1);
    expect(free).not.toBe(busy);
    const waits = await eventually('the newer one to wait for the busy device', async () =>
      (await members(newer, 'pending')).find(({ detail }) => detail?.includes('"old" has it first')),
    );
    expect(waits.serial_no).toBe(busy);
    await deliver(sky, [beat(busy, { model: of, current_firmware: 'v2.0.0' })]);
    await eventually('the old one to say who took over', async () =>
      (await members(old, 'skipped')).find(
        ({ error, detail }) => error === 'superseded' && detail?.includes('"newer"'),
      ),
    );
    await become(old, 'completed');
    const low = await start({ name: 'low', firmware_id: v4.id, stages: everyone, priority: 1 });
    await eventually('the low one to wait', async () => {
      const list = await members(low, 'pending');
      return list.length === 2 && list.every(({ detail }) => detail?.includes('"newer" has it first'));
    });
    await offered(newer, 2);
    await update(newer, [free, busy], of, 'v3.0.0');
    await become(newer, 'completed');
    expect(await offered(low, 2)).toHaveLength(2);
  });

  it('takes a device that is too old over the release it needs first', async () => {
    const of = model('steps');
    await publishFirmware(sky, 'v1.5.0', { model: of });
    const target = await publishFirmware(sky, 'v2.0.0', { model: of, min_version: 'v1.5.0' });
    await fleet(['STEP-0'], of);
    const id = await start({ firmware_id: target.id, stages: everyone });
    await update(id, await offered(id, 1), of, 'v1.5.0');
    await offered(id, 1);
    await update(id, ['STEP-0'], of, 'v2.0.0');
    await become(id, 'completed');
    // The campaign is ahead of the ledger by a tick.
    await eventually('its device to say so, once', async () => {
      const { items } = (await sky.api('GET', '/devices/STEP-0/updates')).body as { items: Update[] };
      expect(items).toHaveLength(1);
      return items[0]?.status === 'completed';
    });
  });

  it('leaves out, with the reason, who cannot have it', async () => {
    const of = model('skip');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of, min_version: 'v1.9.0' });
    await fleet(['SK-OLD'], of, { current_firmware: 'v1.0.0' });
    await fleet(['SK-HAS'], of, { current_firmware: 'v2.0.0' });
    await fleet(['SK-OUT', 'SK-OK'], of, { current_firmware: 'v1.9.0' });
    await sky.api('POST', '/devices/SK-OUT/revoke');
    const id = await start({ firmware_id: firmware.id, stages: everyone });
    await offered(id, 1);
    const reasons = (await members(id)).map(({ serial_no, error }) => [serial_no, error]);
    expect(reasons).toEqual([
      ['SK-HAS', 'has_version'],
      ['SK-OK', null],
      ['SK-OLD', 'below_min_version'],
      ['SK-OUT', 'revoked'],
    ]);
    await sky.api('POST', '/devices/SK-OK/revoke');
    await become(id, 'completed');
    expect(await campaign(id)).toMatchObject({
      status_reason: 'no device has taken part: all 4 were skipped',
    });
  });

  it('leaves out named devices of other hardware, and says so, before and after it starts', async () => {
    const [of, other] = [model('hardware'), model('other-hardware')];
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(['HW-0'], of);
    await fleet(['HW-1'], other);
    const named = { firmware_id: firmware.id, target: { serial_nos: ['HW-0', 'HW-1', 'HW-2'] } };
    expect((await sky.api('POST', '/campaigns/preview', named)).body).toMatchObject({
      count: 1,
      skipped: [{ error: 'other_model', count: 1 }],
      unknown_serial_nos: 1,
    });
    const id = await start({ ...named, stages: everyone });
    const [left] = await eventually('the other one to be left out', async () => {
      const list = await members(id, 'skipped');
      return list.length > 0 && list;
    });
    expect(left).toMatchObject({
      serial_no: 'HW-1',
      error: 'other_model',
      detail: `it is a ${other}, the firmware is for ${of}`,
    });
  });

  it('takes a sample, a group first, and counts in devices', async () => {
    const of = model('sample');
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('SAM', 16), of);
    await fleet(serials('LAB', 4), of, { group: 'lab' });
    const half = await make({ firmware_id: firmware.id, target: { percentage: 50 } });
    await sky.api('POST', `/campaigns/${half}/start`);
    expect((await metrics(half)).counts).toMatchObject({ skipped: 0 });
    expect((await members(half)).length).toBe(10);
    await sky.api('POST', `/campaigns/${half}/cancel`);
    const stages = [
      { name: 'lab', group: 'lab' },
      { name: 'few', count: 2 },
      { name: 'all', percentage: 100 },
    ];
    const sample = { firmware_id: firmware.id, stages, target: { percentage: 50 } };
    const { body: preview } = await sky.api('POST', '/campaigns/preview', sample);
    const sampled = await start(sample);
    const taken = (await members(sampled)).map(({ serial_no }) => serial_no);
    expect(taken).toEqual(expect.arrayContaining(namesOf(preview.sample)));
    expect((await metrics(sampled)).stages.map(({ target }) => target)).toEqual(
      (preview.stages as { devices: number }[]).map(({ devices }) => devices),
    );
    await sky.api('POST', `/campaigns/${sampled}/cancel`);
    const id = await start({ firmware_id: firmware.id, stages });
    expect((await offered(id, 4)).sort()).toEqual(serials('LAB', 4));
    const sizes = (await metrics(id)).stages.map(({ counts }) =>
      Object.values(counts).reduce((sum, n) => sum + n, 0),
    );
    expect(sizes).toEqual([4, 2, 14]);
    await sky.api('POST', `/campaigns/${id}/cancel`);
    // Untried firmware goes to one device first, though a group has everybody.
    const whole = { firmware_id: firmware.id, target: { groups: ['lab'] }, safe_mode: true };
    const safe = { ...whole, stages: [stages[0], stages[2]] };
    const { body: first } = await sky.api('POST', '/campaigns/preview', safe);
    expect((first.stages as { devices: number }[]).map(({ devices }) => devices)).toEqual([1, 3, 0]);
    expect((await metrics(await start(safe))).stages.map(({ target }) => target)).toEqual([1, 3, 0]);
  });
});
