import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beat, deliver, type Said } from './ingest.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

type Member = { serial_no: string; status: string; detail: string | null; error: string | null };

/** What an operator may choose of a campaign, on devices this test plays itself. */
describe('kinds of campaigns, and an operator’s word', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark();
  });
  afterAll(() => sky.stop());

  const fleet = (names: readonly string[], model: string, more: object = {}) =>
    deliver(
      sky,
      names.map((name) => beat(name, { model, ...more })),
    );
  const said = (serial_no: string, id: string, status: string, more: object = {}): Said => ({
    serial_no,
    channel: 'status',
    payload: { campaign_id: id, status, timestamp: Math.floor(Date.now() / 1000), ...more },
  });
  const make = async (body: object, headers: Record<string, string> = {}) => {
    const made = await sky.api('POST', '/campaigns', { name: 'kinds', ...body }, headers);
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    return made.body;
  };
  const start = async (body: object) => {
    const { id } = await make(body);
    const started = await sky.api('POST', `/campaigns/${id}/start`);
    expect(started.status, JSON.stringify(started.body)).toBe(200);
    return String(id);
  };
  const members = async (id: string) =>
    (await sky.api('GET', `/campaigns/${id}/devices?limit=200`)).body.items as Member[];
  const member = (id: string, serial: string, status: string) =>
    eventually(`${serial} to be ${status}`, async () =>
      (await members(id)).find((m) => m.serial_no === serial && m.status === status),
    );
  const become = (id: string, status: string) =>
    eventually(
      `the campaign to be ${status}`,
      async () => (await sky.api('GET', `/campaigns/${id}`)).body.status === status,
    );
  const everyone = [{ name: 'all', percentage: 100, success_threshold: 0 }];
  const settings = async (change: object) => {
    const { body } = await sky.api('GET', '/settings');
    const changed = await sky.api('PUT', '/settings', { version: body.version, settings: change });
    expect(changed.status).toBe(200);
  };
  /** Somebody else than the API key of these tests. */
  const other = async () => {
    const { body } = await sky.api('POST', '/auth/token', sky.facts.admin);
    return { Authorization: `Bearer ${body.token}` };
  };

  it('soft: a postponed update costs nothing, leaves the device to others, and goes on when its device does', async () => {
    const model = 'KIND-SOFT';
    const [soft, urgent] = [
      await publishFirmware(sky, 'v2.0.0', { model }),
      await publishFirmware(sky, 'v3.0.0', { model }),
    ];
    await fleet(['SO-0', 'SO-1'], model);
    const id = await start({ firmware_id: soft.id, stages: everyone, kind: 'soft', max_concurrent: 1 });
    const [first = ''] = await eventually('an offer', async () => {
      const offered = (await members(id)).filter(({ status }) => status === 'offered');
      return offered.length === 1 && offered.map(({ serial_no }) => serial_no);
    });
    const second = first === 'SO-0' ? 'SO-1' : 'SO-0';
    const until = Math.floor(Date.now() / 1000) + 3600;
    await deliver(sky, [said(first, id, 'downloading')]);
    await deliver(sky, [said(first, id, 'deferred', { until, detail: 'its user postponed it' })]);
    // There is room for the other one, though only one may be under way.
    await member(id, second, 'offered');
    expect(await member(id, first, 'pending')).toMatchObject({ error: 'deferred' });
    const now = await start({
      firmware_id: urgent.id,
      stages: everyone,
      target: { serial_nos: [first] },
    });
    await member(now, first, 'offered');
    await deliver(sky, [beat(first, { model, current_firmware: 'v3.0.0' })]);
    await become(now, 'completed');
    await deliver(sky, [said(second, id, 'deferred', { until })]);
    await member(id, second, 'pending');
    // Its user has agreed after all.
    await deliver(sky, [said(second, id, 'installing')]);
    await member(id, second, 'installing');
    await deliver(sky, [beat(second, { model, current_firmware: 'v2.0.0' })]);
    await member(id, second, 'completed');
  });

  it('download_only: what has said that it has downloaded and verified has completed, with no new version', async () => {
    const model = 'KIND-DOWN';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    await fleet(['DO-0'], model);
    const id = await start({ firmware_id: firmware.id, stages: everyone, kind: 'download_only' });
    await member(id, 'DO-0', 'offered');
    await deliver(sky, [said('DO-0', id, 'downloading'), said('DO-0', id, 'completed')]);
    await become(id, 'completed');
    expect((await sky.api('GET', '/devices/DO-0')).body).toMatchObject({
      current_firmware: 'v1.0.0',
      target_version: null,
    });
    const wrong = await sky.api('POST', '/campaigns', {
      name: 'x',
      firmware_id: firmware.id,
      kind: 'download_only',
      on_failure: 'rollback',
    });
    expect([wrong.status, wrong.body.errors]).toMatchObject([422, [{ field: 'on_failure' }]]);
  });

  it('begins with one device where no device runs the firmware yet, unless told otherwise', async () => {
    const model = 'KIND-SAFE';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    await fleet(
      Array.from({ length: 20 }, (_, i) => `SA-${i}`),
      model,
    );
    const stagesOf = async (more: object) =>
      ((await make({ firmware_id: firmware.id, ...more })).stages as { name: string; count?: number }[]).map(
        ({ name }) => name,
      );
    expect(await stagesOf({})).toEqual(['one device', '10 %', '50 %', '100 %']);
    expect(await stagesOf({ safe_mode: false })).toEqual(['canary', '10 %', '50 %', '100 %']);
    expect(await stagesOf({ stages: everyone })).toEqual(['all']);
    expect(await stagesOf({ stages: everyone, safe_mode: true })).toEqual(['one device', 'all']);
    const preview = await sky.api('POST', '/campaigns/preview', { firmware_id: firmware.id });
    expect(preview.body).toMatchObject({
      count: 20,
      new_to_fleet: true,
      stages: [{ devices: 1 }, { devices: 1 }, { devices: 8 }, { devices: 10 }],
    });
    await fleet(['SA-0'], model, { current_firmware: 'v2.0.0' });
    expect(await stagesOf({})).toEqual(['canary', '10 %', '50 %', '100 %']);
    const again = await sky.api('POST', '/campaigns/preview', {
      firmware_id: firmware.id,
      target: { serial_nos: ['SA-0', 'SA-1', 'NOBODY'] },
    });
    expect(again.body).toMatchObject({
      count: 1,
      sample: [{ serial_no: 'SA-1' }],
      skipped: [{ error: 'has_version', count: 1 }],
      unknown_serial_nos: 1,
      new_to_fleet: false,
      would_go_back: 0,
    });
    await fleet(['SA-2'], model, { current_firmware: 'v10.0.0' });
    const back = { firmware_id: firmware.id, target: { serial_nos: ['SA-1', 'SA-2'] } };
    expect((await sky.api('POST', '/campaigns/preview', back)).body).toMatchObject({
      count: 2,
      would_go_back: 1,
    });
  });

  it('needs two people where the settings say so: neither its maker nor who changed it approves, nor its approver starts', async () => {
    const model = 'KIND-TWO';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    await fleet(['TW-0'], model);
    await settings({ approve_campaigns: true });
    try {
      const { id } = await make({ firmware_id: firmware.id });
      const second = await other();
      const post = (action: string, headers: Record<string, string> = {}) =>
        sky.api('POST', `/campaigns/${id}/${action}`, undefined, headers);
      expect((await post('approve')).body.detail).toMatch(/somebody else has to approve/);
      expect((await post('approve', second)).status).toBe(200);
      expect((await post('start', second)).body.detail).toMatch(/somebody else has to start/);
      const start_at = new Date(Date.now() + 3_600_000).toISOString();
      await sky.api('PUT', `/campaigns/${id}`, { start_at });
      expect((await post('start')).status).toBe(409);
      await post('approve', second);
      expect((await post('start')).body.status).toBe('scheduled');
      const same = await sky.api('PUT', `/campaigns/${id}`, { rate_per_minute: 10_000, start_at });
      expect(same.body).toMatchObject({ status: 'scheduled' });
      const changed = await sky.api('PUT', `/campaigns/${id}`, { rate_per_minute: 5, start_at });
      expect(changed.body).toMatchObject({ status: 'draft', approved_by: null });
      const client = new Client({ connectionString: sky.facts.database_url });
      await client.connect();
      const { rows } = await client.query(
        'SELECT actor, action, detail FROM audit_log WHERE subject = $1 ORDER BY at',
        [id],
      );
      await client.end();
      const actor = `user:${sky.facts.admin.email}`;
      expect(rows).toContainEqual({ actor, action: 'campaign.approve', detail: {} });
      // What was said again is no change.
      expect(rows.filter(({ action }) => action === 'campaign.change')).toEqual([
        { actor: 'key:local', action: 'campaign.change', detail: { start_at: { from: null, to: start_at } } },
        {
          actor: 'key:local',
          action: 'campaign.change',
          detail: { rate_per_minute: { from: 10_000, to: 5 } },
        },
      ]);
      await sky.api('PUT', `/campaigns/${id}`, { rate_per_minute: 6 }, second);
      expect((await post('approve', second)).body.detail).toMatch(/you changed this campaign/);
    } finally {
      await settings({ approve_campaigns: false });
    }
  });

  it('changes thresholds and rate while it runs, but not which devices a stage has', async () => {
    const model = 'KIND-EDIT';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    await fleet(['ED-0', 'ED-1'], model);
    const stages = [
      { name: 'one', count: 1, min_duration_s: 3600 },
      { name: 'rest', percentage: 100 },
    ];
    const id = await start({ firmware_id: firmware.id, stages });
    const put = (body: object) => sky.api('PUT', `/campaigns/${id}`, body);
    expect((await put({ stages: [{ name: 'all', percentage: 100 }] })).status).toBe(409);
    const opened = stages.map((stage) => ({ ...stage, success_threshold: 0, min_duration_s: 0 }));
    const changed = await put({ stages: opened, rate_per_minute: 120, failure_threshold: 50 });
    expect(changed.body).toMatchObject({ rate_per_minute: 120, failure_threshold: 50 });
    // The first stage passes at once now.
    await member(id, 'ED-0', 'offered');
    await member(id, 'ED-1', 'offered');
    const bad = await put({ ramp: { base_rate_per_minute: 1000, successes: 1 } });
    expect([bad.status, bad.body.errors]).toMatchObject([422, [{ field: 'ramp.base_rate_per_minute' }]]);
  });
});
