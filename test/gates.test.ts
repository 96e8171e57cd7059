import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deliver } from './ingest.ts';
import { playedFleet, serials } from './played-fleet.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

/** What stops a campaign: failures and silence, also of stages that have passed. */
describe('the gates of a campaign', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark();
  });
  afterAll(() => sky.stop());

  const { fleet, said, gone, start, campaign, metrics, members, offered, become, update } = playedFleet(
    () => sky,
  );
  const reason = async (id: string) => String((await campaign(id)).status_reason);
  const completed = (id: string, n: number) =>
    eventually(`${n} to complete`, async () => (await metrics(id)).counts.completed === n);

  it('stops when updated devices fall silent, though each said that all went well', async () => {
    const of = 'GATE-SILENT';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const names = serials('SIL', 30);
    await fleet(names, of);
    const id = await start({
      firmware_id: firmware.id,
      stages: [
        { name: 'canary', count: 3, min_duration_s: 3600 },
        { name: 'rest', percentage: 100 },
      ],
    });
    const canary = await offered(id, 3);
    await update(id, canary, of, 'v2.0.0');
    await eventually('them to complete', async () => (await metrics(id)).counts.completed === 3);
    await deliver(sky, canary.map(gone));
    await become(id, 'paused');
    expect((await campaign(id)).status_reason).toMatch(/3 of 3 failed or fell silent after the update/);
    expect((await metrics(id)).counts.pending).toBe(27);
  });

  it('stops for silence in its only stage, too, by what was usual when it began', async () => {
    const of = 'GATE-ALL';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const names = serials('ALL', 6);
    await fleet(names, of);
    const id = await start({
      firmware_id: firmware.id,
      stages: [{ name: 'everyone', percentage: 100, min_duration_s: 3600 }],
    });
    await update(id, await offered(id, 6), of, 'v2.0.0');
    await eventually('them to complete', async () => (await metrics(id)).counts.completed === 6);
    await deliver(sky, names.map(gone));
    await become(id, 'paused');
    expect((await campaign(id)).status_reason).toMatch(/6 of 6 failed or fell silent after the update/);
  });

  it('goes on watching for silence when an operator has accepted what there was', async () => {
    const of = 'GATE-AGAIN';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('AG', 30), of);
    const id = await start({
      firmware_id: firmware.id,
      stages: [
        { name: 'canary', count: 6, min_duration_s: 3600 },
        { name: 'rest', percentage: 100 },
      ],
    });
    const canary = await offered(id, 6);
    await update(id, canary, of, 'v2.0.0');
    await completed(id, 6);
    await deliver(sky, canary.slice(0, 2).map(gone));
    await become(id, 'paused');
    // One more falls silent while it stands still: that is accepted, too.
    await deliver(sky, canary.slice(2, 3).map(gone));
    expect((await sky.api('POST', `/campaigns/${id}/resume`)).status).toBe(200);
    await deliver(sky, canary.slice(3, 5).map(gone));
    await become(id, 'paused');
    expect(await reason(id)).toMatch(/2 of 6 failed or fell silent/);
    expect((await sky.api('POST', `/campaigns/${id}/resume`)).status).toBe(200);
    // All are back, which nothing shows: it is looked for every five seconds. Then two are gone again.
    await fleet(canary, of, { current_firmware: 'v2.0.0' });
    await wait(6000);
    await deliver(sky, canary.slice(0, 2).map(gone));
    await become(id, 'paused');
    expect(await reason(id)).toMatch(/2 of 6 failed or fell silent/);
  });

  it('judges no silence where fewer than five devices can be compared with', async () => {
    const of = 'GATE-FEW';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('FEW', 4), of);
    const stages = [
      { name: 'canary', count: 1, min_duration_s: 3600 },
      { name: 'rest', percentage: 100 },
    ];
    const id = await start({ firmware_id: firmware.id, stages });
    const canary = await offered(id, 1);
    await update(id, canary, of, 'v2.0.0');
    await completed(id, 1);
    await deliver(sky, canary.map(gone));
    // Two looks, of which nothing can be seen.
    await wait(11_000);
    expect((await campaign(id)).status).toBe('active');
  });

  it('compares with devices outside the campaign where it has none of its own to compare with', async () => {
    const of = 'GATE-OUTSIDE';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('OUT', 7), of);
    // Of devices that stay online the ledger knows only every few hours that they are heard.
    const db = new Client({ connectionString: sky.facts.database_url });
    await db.connect();
    await db.query(`UPDATE devices SET last_seen = now() - interval '5 hours' WHERE model = $1`, [of]);
    await db.end();
    const names = ['OUT-0', 'OUT-1'];
    const id = await start({
      firmware_id: firmware.id,
      target: { serial_nos: names },
      stages: [{ name: 'both', percentage: 100, min_duration_s: 3600 }],
    });
    await update(id, await offered(id, 2), of, 'v2.0.0');
    await completed(id, 2);
    await deliver(sky, names.map(gone));
    await become(id, 'paused');
    expect(await reason(id)).toMatch(/stage "both" stopped: 2 of 2 failed or fell silent after the update/);
  });

  it('stops for failures and for silence in a stage that has passed already', async () => {
    const of = 'GATE-LATE';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('LT', 40), of);
    const stages = [
      { name: 'early', count: 4, success_threshold: 50 },
      { name: 'rest', percentage: 100, min_duration_s: 3600 },
    ];
    const id = await start({ firmware_id: firmware.id, stages, failure_threshold: 30, max_concurrent: 4 });
    const early = await offered(id, 4);
    await update(id, early.slice(0, 2), of, 'v2.0.0');
    await eventually('the next stage', async () => (await metrics(id)).stage.index === 1);
    await deliver(
      sky,
      early.slice(2).map((name) => said(name, id, 'failed')),
    );
    await become(id, 'paused');
    expect(await reason(id)).toBe('stage "early" stopped: 2 of 4 failed (50 %), more than 30 %');
    expect((await metrics(id)).stages.map(({ state }) => state)).toEqual(['stopped', 'stopped']);
    expect((await sky.api('POST', `/campaigns/${id}/resume`)).status).toBe(200);
    await deliver(sky, early.slice(0, 2).map(gone));
    await become(id, 'paused');
    expect(await reason(id)).toMatch(/stage "early" stopped: 2 of 4 failed or fell silent/);
  });

  it('takes devices back to what they had, however they spell its version or the new one', async () => {
    const of = 'GATE-SPELL';
    await publishFirmware(sky, 'v1.0.0', { model: of });
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(['SP-0', 'SP-1'], of, { current_firmware: '1.0' });
    await fleet(['SP-2', 'SP-3'], of, { current_firmware: 'v1.0.0' });
    const policy = { on_failure: 'rollback', failure_threshold: 10, min_sample: 4 };
    const stages = [{ name: 'all', percentage: 100, success_threshold: 0, min_duration_s: 3600 }];
    const id = await start({ firmware_id: firmware.id, stages, ...policy });
    await offered(id, 4);
    await fleet(['SP-0'], of, { current_firmware: 'v2.0.0' });
    await fleet(['SP-1', 'SP-2'], of, { current_firmware: '2.0.0' });
    await deliver(sky, [said('SP-3', id, 'failed')]);
    await become(id, 'rolled_back');
    const back = await eventually('the way back', async () => {
      const { items } = (await sky.api('GET', '/campaigns')).body as {
        items: { id: string; created_by: string }[];
      };
      const ways = items.filter(({ created_by }) => created_by === `campaign:${id}`);
      return ways.length > 0 && ways;
    });
    expect(back).toHaveLength(1);
    const going = await offered(String(back[0]?.id), 3);
    expect(going.toSorted()).toEqual(['SP-0', 'SP-1', 'SP-2']);
    expect(await reason(id)).not.toContain('cannot go back');
  });

  it('takes back who completes after the stop, too, without waiting for all others to end', async () => {
    const of = 'GATE-STOPPED';
    await publishFirmware(sky, 'v1.0.0', { model: of });
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const [bad = '', late = '', slow = ''] = serials('GS', 3);
    await fleet([bad, late, slow], of, { current_firmware: 'v1.0.0' });
    const policy = { on_failure: 'rollback', failure_threshold: 10, min_sample: 1 };
    const stages = [{ name: 'all', percentage: 100 }];
    const id = await start({ firmware_id: firmware.id, stages, ...policy });
    await offered(id, 3);
    await deliver(sky, [
      said(bad, id, 'failed'),
      said(late, id, 'downloading'),
      said(slow, id, 'downloading'),
    ]);
    await become(id, 'rolled_back');
    await fleet([late], of, { current_firmware: 'v2.0.0' });
    const back = await eventually('the way back', async () => {
      const { items } = (await sky.api('GET', '/campaigns')).body as {
        items: { id: string; created_by: string }[];
      };
      return items.find(({ created_by }) => created_by === `campaign:${id}`);
    });
    expect(await offered(back.id, 1)).toEqual([late]);
    expect((await members(id, 'downloading')).map(({ serial_no }) => serial_no)).toEqual([slow]);
  });

  it('stops when devices that completed go back to what they had, and begins no other', async () => {
    const of = 'GATE-BACK';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('BK', 12), of);
    const stages = [
      { name: 'canary', count: 4, min_duration_s: 3600 },
      { name: 'rest', percentage: 100 },
    ];
    const id = await start({ firmware_id: firmware.id, stages, silence_gate: false });
    const canary = await offered(id, 4);
    await update(id, canary, of, 'v2.0.0');
    await completed(id, 4);
    await fleet(canary.slice(0, 2), of);
    await become(id, 'paused');
    expect(await reason(id)).toMatch(/stage "canary" stopped: 2 of 4 failed or went back after the update/);
    expect((await metrics(id)).counts).toMatchObject({ completed: 4, pending: 8 });
    // Accepted, and gone forward again: only what goes back after that counts.
    expect((await sky.api('POST', `/campaigns/${id}/resume`)).status).toBe(200);
    await fleet(canary.slice(0, 2), of, { current_firmware: 'v2.0.0' });
    await fleet(canary.slice(1), of);
    await become(id, 'paused');
    expect(await reason(id)).toMatch(/failed or went back after the update/);
  });

  it('does not stop because another campaign takes devices on to something older', async () => {
    const of = 'GATE-ELSEWHERE';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    const between = await publishFirmware(sky, 'v1.5.0', { model: of });
    await fleet(serials('EW', 4), of);
    const stages = [{ name: 'all', percentage: 100, min_duration_s: 3600 }];
    const id = await start({ firmware_id: firmware.id, stages });
    await update(id, await offered(id, 4), of, 'v2.0.0');
    await completed(id, 4);
    const [one = '', two = ''] = serials('EW', 4);
    const other = await start({
      firmware_id: between.id,
      stages: [{ name: 'all', percentage: 100 }],
      target: { serial_nos: [one] },
    });
    await update(other, await offered(other, 1), of, 'v1.5.0');
    await become(other, 'completed');
    // Whoever goes back by itself does stop it, and is the only one that counts.
    await fleet([two], of);
    await become(id, 'paused');
    expect(await reason(id)).toMatch(/1 of 4 failed or went back after the update/);
  });

  it('does not open the next stage where the first has nobody left to show that the update works', async () => {
    const of = 'GATE-NOBODY';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model: of });
    await fleet(serials('NB', 4), of);
    const stages = [
      { name: 'canary', count: 1 },
      { name: 'rest', percentage: 100 },
    ];
    const id = await start({ firmware_id: firmware.id, stages });
    const [only = ''] = await offered(id, 1);
    await sky.api('POST', `/devices/${only}/revoke`);
    await eventually('it to say why it waits', async () =>
      (await reason(id)).includes('stage "canary" has no device that could show'),
    );
    expect((await metrics(id)).stage.index).toBe(0);
    expect((await sky.api('POST', `/campaigns/${id}/advance`)).status).toBe(200);
    await offered(id, 3);
  });
});
