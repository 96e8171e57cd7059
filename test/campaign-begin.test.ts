import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beat, deliver } from './ingest.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

/** How a campaign begins, and how it does not. */
describe('the beginning of a campaign', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark();
  });
  afterAll(() => sky.stop());

  const draft = async (model: string, devices: number, more: object = {}) => {
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    const serials = Array.from({ length: devices }, (_, i) => `${model}-${i}`);
    await deliver(
      sky,
      serials.map((serial) => beat(serial, { model })),
    );
    const stages = [{ name: 'all', percentage: 100 }];
    const made = await sky.api('POST', '/campaigns', {
      name: 'begin',
      firmware_id: firmware.id,
      stages,
      ...more,
    });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    return { id: String(made.body.id), serials };
  };
  const post = (id: string, action: string) => sky.api('POST', `/campaigns/${id}/${action}`);
  const campaign = async (id: string) => (await sky.api('GET', `/campaigns/${id}`)).body;
  const offered = (id: string, n: number) =>
    eventually('the offers', async () => {
      const { body } = await sky.api('GET', `/campaigns/${id}/metrics`);
      return (body.counts as Record<string, number>).offered === n && body;
    });
  const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();

  it('happens once, however many start it at the same time', async () => {
    const { id } = await draft('BEGIN-ONCE', 5);
    const answers = await Promise.all([post(id, 'start'), post(id, 'start'), post(id, 'start')]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    expect(await offered(id, 5)).toMatchObject({ target: 5 });
  });

  it('happens once where a scheduled campaign is changed to begin now', async () => {
    const { id } = await draft('BEGIN-NOW', 3, { start_at: inAnHour() });
    expect((await post(id, 'start')).body.status).toBe('scheduled');
    const changed = await sky.api('PUT', `/campaigns/${id}`, { start_at: null });
    expect(changed.body.status).toBe('active');
    await offered(id, 3);
    expect((await campaign(id)).started_at).toBe(changed.body.started_at);
  });

  it('makes a scheduled campaign a draft again where it is changed to begin now and nobody needs it', async () => {
    const { id } = await draft('BEGIN-NONE', 0, { start_at: inAnHour() });
    await post(id, 'start');
    await sky.api('PUT', `/campaigns/${id}`, { start_at: null });
    expect(await campaign(id)).toMatchObject({
      status: 'draft',
      status_reason: expect.stringContaining('no device needs'),
    });
  });

  it('never follows an acknowledged cancel', async () => {
    const { id } = await draft('BEGIN-CANCEL', 5);
    const [, cancelled] = await Promise.all([post(id, 'start'), post(id, 'cancel')]);
    expect(cancelled.status).toBe(200);
    await post(id, 'start');
    expect((await campaign(id)).status).toBe('cancelled');
  });

  it('needs no names of its stages', async () => {
    const { id } = await draft('BEGIN-NAMES', 1, { stages: [{ percentage: 10 }, { percentage: 100 }] });
    expect((await campaign(id)).stages).toMatchObject([{ name: 'stage 1' }, { name: 'stage 2' }]);
  });

  it('is refused after its end, and so is another attempt for what failed, which stays failed', async () => {
    const past = await draft('BEGIN-ENDED', 1, { end_at: '2020-01-01T00:00:00Z' });
    expect((await post(past.id, 'start')).body.detail).toMatch(/ended at 2020/);
    const { id, serials } = await draft('BEGIN-RETRY', 1, { failure_threshold: 100 });
    await sky.api('PUT', `/campaigns/${id}`, {
      stages: [{ name: 'all', percentage: 100, success_threshold: 0 }],
    });
    await post(id, 'start');
    await offered(id, 1);
    const report = { campaign_id: id, status: 'failed', timestamp: Math.floor(Date.now() / 1000) };
    await deliver(sky, [{ serial_no: serials[0] ?? '', channel: 'status', payload: report }]);
    await eventually('its completion', async () => (await campaign(id)).status === 'completed');
    await sky.api('PUT', `/campaigns/${id}`, { end_at: '2020-01-01T00:00:00Z' });
    expect((await post(id, 'retry')).status).toBe(409);
    const { body } = await sky.api('GET', `/campaigns/${id}/metrics`);
    expect(body.counts).toMatchObject({ failed: 1, skipped: 0 });
    await sky.api('PUT', `/campaigns/${id}`, { end_at: null });
    expect((await post(id, 'retry')).body.status).toBe('active');
  });

  it('goes on where its end had cut it off, for those that were left out, once it ends later', async () => {
    const { id } = await draft('BEGIN-LATER', 4);
    await sky.api('PUT', `/campaigns/${id}`, {
      stages: [
        { name: 'one', count: 1 },
        { name: 'two', count: 2 },
        { name: 'all', percentage: 100 },
      ],
    });
    await post(id, 'start');
    const first = await eventually('the offer', async () => {
      const { items } = (await sky.api('GET', `/campaigns/${id}/devices?status=offered`)).body as {
        items: { serial_no: string }[];
      };
      return items[0];
    });
    await sky.api('PUT', `/campaigns/${id}`, { end_at: '2020-01-01T00:00:00Z' });
    const arrive = beat(first.serial_no, { model: 'BEGIN-LATER', current_firmware: 'v2.0.0' });
    await deliver(sky, [arrive]);
    await eventually('its end', async () => (await campaign(id)).status === 'completed');
    const ended = { error: 'ended' };
    expect((await sky.api('POST', `/campaigns/${id}/retry`, ended)).status).toBe(409);
    await sky.api('PUT', `/campaigns/${id}`, { end_at: null });
    expect((await sky.api('POST', `/campaigns/${id}/retry`, ended)).body.status).toBe('active');
    // The second stage, and nobody of the third.
    await offered(id, 2);
    const { body } = await sky.api('GET', `/campaigns/${id}/metrics`);
    expect(body).toMatchObject({ stage: { index: 1 }, counts: { completed: 1, skipped: 0, pending: 1 } });
  });

  it('is refused at a time no clock can be set to', async () => {
    const { id } = await draft('BEGIN-LATE', 1);
    const changed = await sky.api('PUT', `/campaigns/${id}`, { start_at: '9999-12-31T23:59:59Z' });
    expect([changed.status, changed.body.errors]).toMatchObject([422, [{ field: 'start_at' }]]);
  });
});
