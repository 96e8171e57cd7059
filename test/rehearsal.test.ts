import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rehearsal, rehearsal } from '../protocol/rehearsal.ts';
import { publishFirmware } from './publish.ts';
import { type Skylark, startSkylark } from './skylark.ts';

describe('a rehearsal', () => {
  let sky: Skylark;
  let db: Client;
  beforeAll(async () => {
    sky = await startSkylark();
    db = new Client({ connectionString: sky.facts.database_url });
    await db.connect();
  });
  afterAll(async () => {
    await db.end();
    await sky.stop();
  });

  async function fleet(model: string, n: number): Promise<void> {
    await db.query(
      `INSERT INTO devices (serial_no, model, current_firmware, status)
       SELECT $1 || '-' || n, $1, 'v1.0.0', 'online' FROM generate_series(1, $2::int) n`,
      [model, n],
    );
  }

  async function draft(model: string, more: object = {}): Promise<string> {
    const firmware = await publishFirmware(sky, `v2.0.${Math.floor(Math.random() * 1e6)}`, { model });
    const made = await sky.api('POST', '/campaigns', {
      name: model,
      firmware_id: firmware.id,
      stages: [
        { name: 'canary', percentage: 10 },
        { name: 'all', percentage: 100, min_duration_s: 600 },
      ],
      ...more,
    });
    expect(made.status).toBe(201);
    return String(made.body.id);
  }

  async function rehearse(id: string, body?: object): Promise<Rehearsal> {
    const answer = await sky.api('POST', `/campaigns/${id}/rehearsal`, body);
    expect(answer.body).toMatchObject({ devices: expect.any(Number) });
    return rehearsal.parse(answer.body);
  }

  it('says how long a campaign takes and what load it is, and starts nothing', async () => {
    await fleet('RH-CALM', 60);
    const id = await draft('RH-CALM', { max_concurrent: 10 });
    const played = await rehearse(id);
    expect(played).toMatchObject({ devices: 60, played: 60, ends: { completed: 5 }, stops: [] });
    expect(played.history).toMatchObject({ updates: 0, failure_rate: 0, recorded: false });
    expect(played.load.peak_concurrent).toBe(10);
    // Six in the canary, then 54 ten at a time, each of 122 s.
    const waves = 1 + Math.ceil(54 / 10);
    expect(played.expected_duration_s).toBeGreaterThan(waves * 122);
    expect(played.expected_duration_s).toBeLessThan((waves + 2) * 122);
    expect(played.stages.map(({ devices }) => devices)).toEqual([6, 54]);
    expect(played.progress.at(-1)).toMatchObject({ completed: 60, failed: 0 });
    expect((await sky.api('GET', `/campaigns/${id}`)).body).toMatchObject({ status: 'draft' });
    expect((await db.query('SELECT FROM campaign_devices WHERE campaign_id = $1', [id])).rowCount).toBe(0);
    expect((await sky.api('POST', `/campaigns/${id}/start`)).status).toBe(200);
    expect((await sky.api('GET', `/campaigns/${id}/metrics`)).body).toMatchObject({ target: 60 });
    const late = await sky.api('POST', `/campaigns/${id}/rehearsal`);
    expect(late).toMatchObject({ status: 409, body: { detail: expect.stringContaining('active') } });
  });

  it('says where it would have stopped, from the failures of the past or from those one fears', async () => {
    await fleet('RH-BAD', 100);
    const feared = await rehearse(await draft('RH-BAD'), { failure_rate: 100 });
    expect(feared.ends).toMatchObject({ paused: 5, completed: 0 });
    expect(feared.stops).toEqual([{ stage: 'canary', reason: expect.stringMatching(/failed/), runs: 5 }]);
    expect(feared.stages[1]?.opens_after_s).toBeNull();
    const before = await draft('RH-BAD', { name: 'the last one' });
    await db.query(
      `UPDATE campaigns SET status = 'completed', started_at = now() - interval '2 days' WHERE id = $1`,
      [before],
    );
    await db.query(
      `INSERT INTO campaign_devices (campaign_id, device_id, serial_no, stage, status, to_version, offered_at,
         completed_at, updated_at, error)
       SELECT $1, id, serial_no, 0, CASE WHEN row_number() OVER () % 2 = 0 THEN 'completed' ELSE 'rollback' END::update_state,
         'v2', now() - interval '40 s', now(), now(), 'boot_failure' FROM devices WHERE model = 'RH-BAD'`,
      [before],
    );
    const past = await rehearse(await draft('RH-BAD'));
    expect(past.history).toMatchObject({
      updates: 100,
      failure_rate: 50,
      usual_duration_s: 40,
      recorded: true,
    });
    expect(past.ends.paused).toBe(5);
  });

  it('waits for devices that were only there at some hours of the last week', async () => {
    await fleet('RH-NIGHT', 20);
    await db.query(`UPDATE devices SET created_at = now() - interval '30 days' WHERE model = 'RH-NIGHT'`);
    await db.query(
      `INSERT INTO device_events (id, device_id, at, kind)
       SELECT md5(id::text || h), id, now() - interval '7 days' + h * interval '1 hour',
         CASE WHEN h = 6 THEN 'online' ELSE 'offline' END
       FROM devices CROSS JOIN (VALUES (6), (9)) AS hours(h) WHERE model = 'RH-NIGHT'`,
    );
    const played = await rehearse(await draft('RH-NIGHT', { update_timeout_s: 172_800 }));
    expect(played.ends.completed).toBe(5);
    expect(played.expected_duration_s).toBeGreaterThan(6 * 3600);
    expect(played.expected_duration_s).toBeLessThan(9 * 3600);
  });

  it('takes devices that were only just registered as they are, not as away for all of last week', async () => {
    await fleet('RH-NEW', 20);
    await db.query(
      `INSERT INTO device_events (id, device_id, at, kind)
       SELECT md5(id::text), id, now() - interval '3 minutes', 'online' FROM devices WHERE model = 'RH-NEW'`,
    );
    const played = await rehearse(await draft('RH-NEW'));
    expect(played).toMatchObject({ ends: { completed: 5 }, stops: [] });
    expect(played.expected_duration_s).toBeLessThan(3600);
  });

  it('plays a sample of a large fleet, and says what that comes to for all of it', async () => {
    await fleet('RH-LARGE', 5000);
    const played = await rehearse(await draft('RH-LARGE', { rate_per_minute: 100 }));
    expect(played).toMatchObject({ devices: 5000, played: 500, ends: { completed: 5 } });
    // 5,000 devices at 100 a minute.
    expect(played.expected_duration_s).toBeGreaterThan(50 * 60);
    expect(played.expected_duration_s).toBeLessThan(55 * 60);
    expect(played.load.peak_downloads_per_minute).toBeLessThanOrEqual(110);
  });

  it('ends when the campaign would, begins when it would, and says who is left out', async () => {
    await fleet('RH-END', 60);
    const at = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString();
    const stages = [{ name: 'all', percentage: 100 }];
    // Each takes 122 s: ten at a time begin three times in five minutes.
    const ending = { stages, max_concurrent: 10, start_at: at(60), end_at: at(65) };
    const played = await rehearse(await draft('RH-END', ending));
    expect(played).toMatchObject({ ends: { completed: 5 }, left_out: 30 });
    expect(played.progress.at(-1)?.completed).toBe(30);
    expect(played.load.total_bytes).toBe(30 * 200_000);
    expect(played.expected_duration_s).toBeLessThan(3 * 125);
    expect(played.stages).toMatchObject([{ opens_after_s: 0, passes_after_s: null }]);
    const over = await sky.api('POST', `/campaigns/${await draft('RH-END', { end_at: at(-1) })}/rehearsal`);
    expect(over).toMatchObject({ status: 409, body: { detail: expect.stringContaining('later end_at') } });
  });

  it('is refused where nobody would take part', async () => {
    const answer = await sky.api('POST', `/campaigns/${await draft('RH-NONE')}/rehearsal`);
    expect(answer).toMatchObject({ status: 409, type: expect.stringContaining('problem+json') });
  });
});
