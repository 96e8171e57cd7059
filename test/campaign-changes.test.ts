import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beat, deliver } from './ingest.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

/** What operators change of campaigns, several of them at a time. */
describe('changing a campaign', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark();
  });
  afterAll(() => sky.stop());

  const everyone = [{ name: 'all', percentage: 100, success_threshold: 0 }];
  const make = async (body: object) => {
    const made = await sky.api('POST', '/campaigns', { name: 'change', stages: everyone, ...body });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    return String(made.body.id);
  };
  const get = (id: string) => sky.api('GET', `/campaigns/${id}`);
  const put = (id: string, body: object, headers: Record<string, string> = {}) =>
    sky.api('PUT', `/campaigns/${id}`, body, headers);
  const etag = async (id: string) => {
    const { url, api_key } = sky.facts;
    const answer = await fetch(`${url}/api/v1/campaigns/${id}`, {
      headers: { Authorization: `Bearer ${api_key}` },
    });
    await answer.arrayBuffer();
    return answer.headers.get('ETag') ?? '';
  };
  const aModel = async (model: string) => {
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    await deliver(sky, [beat(`${model}-0`, { model }), beat(`${model}-1`, { model })]);
    return firmware.id;
  };

  it('loses none of the changes that are made at the same time, and takes one of those made on the same version', async () => {
    const id = await make({ firmware_id: await aModel('CH-RACE') });
    const changes = [{ rate_per_minute: 77 }, { max_concurrent: 55 }, { priority: 33 }, { name: 'raced' }];
    const answers = await Promise.all(changes.map((change) => put(id, change)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect((await get(id)).body).toMatchObject(Object.assign({}, ...changes));
    const version = { 'If-Match': await etag(id) };
    const rivals = await Promise.all(
      [1, 2, 3].map((rate_per_minute) => put(id, { rate_per_minute }, version)),
    );
    expect(rivals.map(({ status }) => status).sort()).toEqual([200, 412, 412]);
    const taken = rivals.find(({ status }) => status === 200);
    expect((await get(id)).body.rate_per_minute).toBe(taken?.body.rate_per_minute);
  });

  it('has the same entity tag whether it is read from the cache or the ledger', async () => {
    const target = { tags: ['a'], model: 'CH-TAG', groups: ['g'], fw_version: '< v2.0.0' };
    const id = await make({ firmware_id: await aModel('CH-TAG'), target });
    const tags = [await etag(id), await etag(id), await etag(id)];
    expect(new Set(tags).size).toBe(1);
    expect((await put(id, { priority: 7 }, { 'If-Match': tags[0] ?? '' })).status).toBe(200);
  });

  it('changes all of a draft, and refuses what is fixed once it has begun instead of ignoring it', async () => {
    const [firmware_id, other] = [await aModel('CH-DRAFT'), await aModel('CH-OTHER')];
    const id = await make({ firmware_id });
    const target = { serial_nos: ['CH-DRAFT-0'] };
    expect((await put(id, { target })).body.target).toEqual(target);
    const next = await publishFirmware(sky, 'v3.0.0', { model: 'CH-DRAFT' });
    expect((await put(id, { firmware_id: next.id })).body).toMatchObject({
      firmware_version: 'v3.0.0',
      target,
    });
    expect((await put(id, { firmware_id: other, target: { model: 'CH-DRAFT' } })).status).toBe(422);
    expect((await put(id, { target: { serial_numbers: ['CH-DRAFT-0'] } })).status).toBe(422);
    expect((await sky.api('PUT', `/campaigns/${id}`)).status).toBe(400);
    expect((await sky.api('POST', `/campaigns/${id}/start`)).status).toBe(200);
    const { items } = (await eventually('its member', async () => {
      const { body } = await sky.api('GET', `/campaigns/${id}/devices`);
      return (body.items as unknown[]).length > 0 && body;
    })) as { items: { serial_no: string }[] };
    expect(items.map(({ serial_no }) => serial_no)).toEqual(['CH-DRAFT-0']);
    expect((await put(id, { target: {} })).status).toBe(409);
    expect((await put(id, { firmware_id })).status).toBe(409);
    expect((await put(id, { kind: 'download_only' })).status).toBe(409);
    expect((await put(id, { start_at: '2030-01-01T00:00:00Z' })).status).toBe(409);
    // All of it, sent back with one change.
    const whole = (await get(id)).body;
    expect((await put(id, { ...whole, priority: 9 })).body).toMatchObject({ priority: 9, target });
    await sky.api('POST', `/campaigns/${id.toUpperCase()}/cancel`);
    const late = await put(id, { priority: 10 });
    expect([late.status, late.body.detail]).toEqual([409, 'the campaign is cancelled.']);
  });

  it('is not made where a word of it is misspelt, and says which', async () => {
    const firmware_id = await aModel('CH-WORDS');
    const stage = { percentage: 100, success_treshold: 99 };
    for (const [wrong, word] of [
      [{ max_concurent: 1 }, 'max_concurent'],
      [{ target: { serial_no: ['CH-1'] } }, 'serial_no'],
      [{ stages: [stage] }, 'success_treshold'],
      [{ windows: [{ from: '01:00', to: '02:00', timezone: 'Asia/Taipei' }] }, 'timezone'],
      [{ ramp: { base_rate_per_minute: 1, successes: 1, factor: 3 } }, 'factor'],
      [{ failure_weights: { rolled_back: 2 } }, 'rolled_back'],
    ] as const) {
      for (const path of ['/campaigns', '/campaigns/preview']) {
        const { status, body } = await sky.api('POST', path, { name: 'x', firmware_id, ...wrong });
        expect([path, status, JSON.stringify(body.errors)]).toEqual([
          path,
          422,
          expect.stringContaining(word),
        ]);
      }
    }
    const whole = { name: 'x', firmware_id, max_concurrent: 1 };
    expect((await sky.api('POST', '/campaigns/preview', whole)).status).toBe(200);
  });

  it('is not changed, tried again or rehearsed where a word of that is misspelt', async () => {
    const id = await make({ firmware_id: await aModel('CH-WORD') });
    for (const [method, path, body, word] of [
      ['PUT', '', { max_concurent: 1 }, 'max_concurent'],
      ['PUT', '', { safe_mode: true }, 'safe_mode'],
      ['PUT', '', { windows: [{ from: '01:00', to: '02:00', time_zone: '+02:00' }] }, 'IANA'],
      ['POST', '/retry', { eror: 'boot_failure' }, 'eror'],
      ['POST', '/rehearsal', { failure_rat: 5 }, 'failure_rat'],
    ] as const) {
      const { status, body: said } = await sky.api(method, `/campaigns/${id}${path}`, body);
      expect([path, status, JSON.stringify(said.errors)]).toEqual([path, 422, expect.stringContaining(word)]);
    }
    const { items } = (await sky.api('GET', '/campaigns?limit=200')).body as { items: { id: string }[] };
    const listed = items.find((item) => item.id === id);
    expect((await put(id, { ...listed, status: 'active', priority: 3 })).body).toMatchObject({
      status: 'draft',
      priority: 3,
    });
  });

  it('has a name and stages that can be stored, or is not made, nor changed', async () => {
    const firmware_id = await aModel('CH-TEXT');
    const id = await make({ firmware_id });
    for (const name of ['a\0', 'b\ud800', ' ', 'x'.repeat(121)]) {
      expect((await sky.api('POST', '/campaigns', { firmware_id, name })).status, name).toBe(422);
      expect((await put(id, { name })).status, name).toBe(422);
    }
    expect((await put(id, { stages: [{ name: '\0', percentage: 100 }] })).status).toBe(422);
    for (const query of ['devices?q=%00', 'firmware?model=%00', 'campaigns?cursor=%00'])
      expect((await sky.api('GET', `/${query}`)).status, query).toBe(422);
  });

  it('is cancelled once, and says so to whoever comes later', async () => {
    const id = await make({ firmware_id: await aModel('CH-END') });
    const answers = await Promise.all([1, 2, 3].map(() => sky.api('POST', `/campaigns/${id}/cancel`)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    for (const action of ['start', 'pause', 'resume', 'cancel', 'advance', 'retry']) {
      const { status, body } = await sky.api('POST', `/campaigns/${id}/${action}`);
      expect([action, status, body.detail]).toEqual([action, 409, 'the campaign is cancelled.']);
    }
    expect((await put(id, { priority: 1 })).body.detail).toBe('the campaign is cancelled.');
  });

  it('shows how far a download is wherever it shows the update', async () => {
    const firmware_id = await aModel('CH-LOAD');
    const id = await make({ firmware_id, target: { serial_nos: ['CH-LOAD-0'] } });
    await sky.api('POST', `/campaigns/${id}/start`);
    const one = () => sky.api('GET', `/campaigns/${id}/devices/CH-LOAD-0`);
    await eventually('the offer', async () => (await one()).body.status === 'offered');
    const payload = {
      campaign_id: id,
      status: 'downloading',
      progress: 45,
      timestamp: Math.floor(Date.now() / 1000),
    };
    await deliver(sky, [{ serial_no: 'CH-LOAD-0', channel: 'status', payload }]);
    await eventually('the download', async () => (await one()).body.status === 'downloading');
    expect((await one()).body.progress).toBe(45);
    // What was said before that comes late.
    const late = { ...payload, progress: 20, timestamp: payload.timestamp - 60 };
    await deliver(sky, [{ serial_no: 'CH-LOAD-0', channel: 'status', payload: late }]);
    expect((await one()).body.progress).toBe(45);
    const { body } = await sky.api('GET', `/campaigns/${id}/devices?status=downloading`);
    expect(body.items).toMatchObject([{ serial_no: 'CH-LOAD-0', progress: 45 }]);
  });
});
