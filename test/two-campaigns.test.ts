import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beat, deliver } from './ingest.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

type Update = { serial_no: string; status: string; error: string | null };

/** Two campaigns that want the same device. */
describe('two campaigns, one device', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark();
  });
  afterAll(() => sky.stop());

  const everyone = [{ name: 'all', percentage: 100, success_threshold: 0 }];
  const start = async (body: object) => {
    const made = await sky.api('POST', '/campaigns', { name: 'two', stages: everyone, ...body });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    const started = await sky.api('POST', `/campaigns/${made.body.id}/start`);
    expect(started.status, JSON.stringify(started.body)).toBe(200);
    return String(made.body.id);
  };
  const updates = async (id: string) =>
    (await sky.api('GET', `/campaigns/${id}/devices`)).body.items as Update[];
  const offered = (id: string, n = 1) =>
    eventually(`${n} offers`, async () => {
      const found = (await updates(id)).filter(({ status }) => status === 'offered');
      return found.length >= n && found;
    });

  it('an app takes the place of no other app, and no two of them are under way on one device', async () => {
    const model = 'TWO-APPS';
    const [navigation, maps] = [
      await publishFirmware(sky, 'v1.0.0', { model, app: 'navigation' }),
      await publishFirmware(sky, 'v1.0.0', { model, app: 'maps' }),
    ];
    await deliver(sky, [beat('AP-0', { model }), beat('AP-1', { model })]);
    const first = await start({ firmware_id: navigation.id, max_concurrent: 1 });
    const [busy] = await offered(first);
    const second = await start({ firmware_id: maps.id });
    const [free] = await offered(second);
    expect(free?.serial_no).not.toBe(busy?.serial_no);
    const show = (serial: string, ...apps: string[]) =>
      beat(serial, { model, apps: Object.fromEntries(apps.map((name) => [name, 'v1.0.0'])) });
    await deliver(sky, [show(String(busy?.serial_no), 'navigation'), show(String(free?.serial_no), 'maps')]);
    // Each has one of them now, and is offered the other one.
    await eventually('both to go on', async () => {
      const [a, b] = [await updates(first), await updates(second)];
      return [...a, ...b].every(({ status }) => status === 'completed' || status === 'offered');
    });
  });

  it('a priority changed while a campaign runs counts from then on', async () => {
    const model = 'TWO-RANK';
    const [two, three] = [
      await publishFirmware(sky, 'v2.0.0', { model }),
      await publishFirmware(sky, 'v3.0.0', { model }),
    ];
    await deliver(sky, [beat('RA-0', { model }), beat('RA-1', { model })]);
    const high = await start({ firmware_id: two.id, priority: 900, max_concurrent: 1 });
    const [busy] = await offered(high);
    const low = await start({ firmware_id: three.id, priority: 1 });
    await eventually('its devices to be refused', async () => {
      const list = (await updates(low)) as (Update & { detail: string | null })[];
      return list.length === 2 && list.every(({ detail }) => detail?.includes('has it first'));
    });
    await eventually('it to say so', async () =>
      String((await sky.api('GET', `/campaigns/${low}`)).body.status_reason).includes('has it first'),
    );
    await sky.api('PUT', `/campaigns/${low}`, { priority: 1000 });
    const [taken] = await offered(low);
    expect(taken?.serial_no).not.toBe(busy?.serial_no);
  });

  it('a paused campaign keeps no device that is only waiting from a newer one', async () => {
    const model = 'TWO-PAUSE';
    const [two, three] = [
      await publishFirmware(sky, 'v2.0.0', { model }),
      await publishFirmware(sky, 'v3.0.0', { model }),
    ];
    await deliver(sky, [beat('PA-0', { model })]);
    const old = await start({ firmware_id: two.id });
    await offered(old);
    await sky.api('POST', `/campaigns/${old}/pause`);
    const urgent = await start({ firmware_id: three.id });
    await eventually('the device to have the newer one', async () => {
      // Speaking of other things long after the offer, it has not got it.
      await deliver(sky, [beat('PA-0', { model })]);
      return (await updates(urgent)).some(({ status }) => status === 'offered');
    });
    await sky.api('POST', `/campaigns/${old}/resume`);
    await deliver(sky, [beat('PA-0', { model })]);
    await eventually('the old one to give way', async () =>
      (await updates(old)).some(({ status, error }) => status === 'skipped' && error === 'superseded'),
    );
  });

  it('a device that waits for another try after a failure is free for a more urgent campaign', async () => {
    const model = 'TWO-RETRY';
    const [two, three] = [
      await publishFirmware(sky, 'v2.0.0', { model }),
      await publishFirmware(sky, 'v3.0.0', { model }),
    ];
    await deliver(sky, [beat('RE-0', { model })]);
    const old = await start({ firmware_id: two.id, max_attempts: 5, failure_threshold: 100 });
    await offered(old);
    const payload = {
      campaign_id: old,
      status: 'failed',
      error: 'disk_full',
      timestamp: Math.floor(Date.now() / 1000),
    };
    await deliver(sky, [{ serial_no: 'RE-0', channel: 'status', payload }]);
    await eventually('it to wait', async () =>
      (await updates(old)).some(({ error }) => error === 'disk_full'),
    );
    await offered(await start({ firmware_id: three.id, priority: 500 }));
  });

  it('an older campaign takes no device back from what a newer one has brought it', async () => {
    const model = 'TWO-NEWER';
    const [two, three] = [
      await publishFirmware(sky, 'v2.0.0', { model }),
      await publishFirmware(sky, 'v3.0.0', { model }),
    ];
    const names = ['NE-0', 'NE-1', 'NE-2'];
    await deliver(
      sky,
      names.map((name) => beat(name, { model })),
    );
    const arrive = async (id: string, some: string[], current_firmware: string) => {
      await deliver(
        sky,
        some.flatMap((name) => [said(name, id, 'downloading'), beat(name, { model, current_firmware })]),
      );
      await eventually(`${current_firmware} on ${some}`, async () =>
        (await updates(id))
          .filter((u) => some.includes(u.serial_no))
          .every(({ status }) => status === 'completed'),
      );
    };
    const said = (serial_no: string, id: string, status: string) => ({
      serial_no,
      channel: 'status' as const,
      payload: { campaign_id: id, status, timestamp: Math.floor(Date.now() / 1000) },
    });
    const stages = [
      { name: 'two', count: 2, success_threshold: 50 },
      { name: 'rest', percentage: 100, start: 'manual' },
    ];
    const old = await start({ firmware_id: two.id, stages, failure_threshold: 100 });
    const [a = '', b = ''] = (await offered(old, 2)).map(({ serial_no }) => serial_no);
    const c = names.find((name) => name !== a && name !== b) ?? '';
    await arrive(old, [a], 'v2.0.0');
    await deliver(sky, [said(b, old, 'failed')]);
    await eventually('the failure', async () =>
      (await updates(old)).some(({ status }) => status === 'failed'),
    );
    const newer = await start({ firmware_id: three.id, target: { serial_nos: [b, c] } });
    await offered(newer, 2);
    await arrive(newer, [b, c], 'v3.0.0');
    // It waited for its stage, and has passed it by.
    await eventually('the old one to give way', async () =>
      (await updates(old)).some(
        ({ serial_no, status, error }) => serial_no === c && status === 'skipped' && error === 'superseded',
      ),
    );
    expect((await sky.api('POST', `/campaigns/${old}/retry`)).status).toBe(409);
  });

  it('rolling an older campaign back leaves alone what a newer one has brought since', async () => {
    const model = 'TWO-BACK';
    for (const version of ['v1.0.0', 'v2.0.0', 'v3.0.0']) await publishFirmware(sky, version, { model });
    const firmware = async (version: string) =>
      (
        (await sky.api('GET', `/firmware?model=${model}&version=${version}`)).body.items as { id: string }[]
      )[0]?.id;
    const names = ['BK-0', 'BK-1', 'BK-2'];
    await deliver(
      sky,
      names.map((name) => beat(name, { model, current_firmware: 'v1.0.0' })),
    );
    const policy = { on_failure: 'rollback', failure_threshold: 0, max_per_gateway: 1, max_concurrent: 2 };
    const old = await start({ firmware_id: await firmware('v2.0.0'), ...policy });
    const [a = '', b = ''] = (await offered(old, 2)).map(({ serial_no }) => serial_no);
    const show = (name: string, current_firmware: string) =>
      deliver(sky, [beat(name, { model, current_firmware })]);
    await show(a, 'v2.0.0');
    await show(b, 'v2.0.0');
    const c = names.find((name) => name !== a && name !== b) ?? '';
    await eventually('the third', async () =>
      (await offered(old, 1)).some(({ serial_no }) => serial_no === c),
    );
    const newer = await start({ firmware_id: await firmware('v3.0.0'), target: { serial_nos: [a] } });
    await offered(newer, 1);
    await show(a, 'v3.0.0');
    await eventually('the newer one', async () => (await updates(newer))[0]?.status === 'completed');
    const payload = { campaign_id: old, status: 'failed', timestamp: Math.floor(Date.now() / 1000) };
    await deliver(sky, [{ serial_no: c, channel: 'status', payload }]);
    const back = await eventually('the way back', async () => {
      const { items } = (await sky.api('GET', '/campaigns')).body as {
        items: { id: string; created_by: string; max_per_gateway: number }[];
      };
      return items.find(({ created_by }) => created_by === `campaign:${old}`);
    });
    expect(back.max_per_gateway).toBe(1);
    expect((await offered(back.id, 1)).map(({ serial_no }) => serial_no)).toEqual([b]);
    expect((await updates(back.id)).map(({ serial_no }) => serial_no)).toEqual([b]);
  });
});
