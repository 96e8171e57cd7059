import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hash32 } from '../protocol/shards.ts';
import { deliver } from './ingest.ts';
import { playedFleet, serials } from './played-fleet.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

/** Campaigns that devices join while they run. */
describe('a dynamic campaign', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark();
  });
  afterAll(() => sky.stop());

  const { fleet, said, start, campaign, metrics, members, offered, become, update } = playedFleet(() => sky);
  const everyone = [{ name: 'all', percentage: 100, success_threshold: 0 }];

  it('is joined by devices that come to match', async () => {
    const of = 'DYNAMIC';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(['DYN-0'], of);
    const id = await start({ firmware_id: firmware.id, stages: everyone, target: { dynamic: true } });
    await update(id, await offered(id, 1), of, 'v2.0.0');
    await fleet(['DYN-1'], of);
    await eventually('the new device to be offered it', async () =>
      (await members(id, 'offered')).find(({ serial_no }) => serial_no === 'DYN-1'),
    );
    await update(id, ['DYN-1'], of, 'v2.0.0');
    await eventually('both to complete', async () => (await metrics(id)).counts.completed === 2);
    expect((await campaign(id)).status).toBe('active');
  });

  it('is joined by devices it left out, once what kept them out is no longer so', async () => {
    const of = 'DYNAMIC-AGAIN';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of, min_version: 'v1.0.0' });
    await fleet(['DA-0', 'DA-OLD'], of);
    await fleet(['DA-OLD'], of, { current_firmware: 'v0.9.0' });
    await eventually('the old one', async () => {
      const { body } = await sky.api('GET', '/devices/DA-OLD');
      return body.current_firmware === 'v0.9.0';
    });
    const stages = [
      { name: 'first', count: 1 },
      { name: 'rest', percentage: 100, success_threshold: 0 },
    ];
    const id = await start({ firmware_id: firmware.id, stages, target: { dynamic: true } });
    await update(id, await offered(id, 1), of, 'v2.0.0');
    expect(await members(id, 'skipped')).toMatchObject([{ serial_no: 'DA-OLD', error: 'below_min_version' }]);
    await eventually('it to complete', async () => (await members(id, 'completed')).length === 1);
    await fleet(['DA-OLD'], of, { current_firmware: 'v1.5.0' });
    expect(await offered(id, 1)).toEqual(['DA-OLD']);
    expect((await metrics(id)).stages).toMatchObject([
      { target: 1, counts: { completed: 1, skipped: 0 } },
      { target: 1, counts: { offered: 1 } },
    ]);
    await update(id, ['DA-OLD'], of, 'v2.0.0');
    await eventually('both to complete', async () => (await metrics(id)).counts.completed === 2);
    const [row] = (await members(id)).filter(({ serial_no }) => serial_no === 'DA-OLD');
    expect(row).toMatchObject({ stage: 1, from_version: 'v1.5.0', error: null });
  });

  it('begins with none, and waits in its first stage for the first', async () => {
    const of = 'DYNAMIC-NONE';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const stages = [
      { name: 'first', count: 1 },
      { name: 'rest', percentage: 100 },
    ];
    const id = await start({ firmware_id: firmware.id, stages, target: { dynamic: true } });
    await eventually('it to say so', async () =>
      String((await campaign(id)).status_reason).startsWith('no device matches yet'),
    );
    expect((await sky.api('POST', `/campaigns/${id}/advance`)).status).toBe(409);
    await fleet(serials('DN', 4), of);
    const [first = ''] = await offered(id, 1);
    expect((await metrics(id)).stages.map(({ target }) => target)).toEqual([1, 3]);
    await deliver(sky, [said(first, id, 'failed')]);
    await become(id, 'paused');
    expect((await metrics(id)).counts).toMatchObject({ failed: 1, pending: 3 });
  });

  it('stays a sample, however few it began with: who was left out does not join, and of others as many percent', async () => {
    const of = 'DYNAMIC-SAMPLE';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const target = { dynamic: true, percentage: 10 };
    const all = Map.groupBy(serials('DYS', 400), (serial) => hash32(serial) <= 2 ** 32 / 10);
    const [chosen = [], others = []] = [all.get(true), all.get(false)];
    expect(chosen.length).toBeGreaterThan(20);
    await fleet([...chosen.slice(0, 1), ...others.slice(0, 5)], of);
    const { body } = await sky.api('POST', '/campaigns/preview', { firmware_id: firmware.id, target });
    expect(body.count).toBe(1);
    const id = await start({ firmware_id: firmware.id, stages: everyone, target });
    expect(await offered(id, 1)).toEqual(chosen.slice(0, 1));
    await fleet([...chosen.slice(1, 4), ...others.slice(5, 40)], of);
    await eventually('who comes within the sample to join', async () => (await members(id)).length > 3);
    expect((await members(id)).map(({ serial_no }) => serial_no).sort()).toEqual(chosen.slice(0, 4).sort());
  });
});
