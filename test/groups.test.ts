import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beat, deliver } from './ingest.ts';
import { publishFirmware } from './publish.ts';
import { type Skylark, startSkylark } from './skylark.ts';

describe('devices by the hundred', () => {
  let sky: Skylark;
  beforeAll(async () => {
    sky = await startSkylark();
  });
  afterAll(() => sky.stop());

  const names = async (query: string): Promise<string[]> => {
    const { body } = await sky.api('GET', `/devices?limit=200&${query}`);
    return (body.items as { serial_no: string }[]).map(({ serial_no }) => serial_no);
  };
  const upload = async (csv: string, query = '') => {
    const response = await fetch(`${sky.facts.url}/api/v1/devices/import${query}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${sky.facts.api_key}`, 'Content-Type': 'text/csv' },
      body: csv,
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

  it('come from a CSV file; twice changes nothing, and a dry run never does', async () => {
    const csv = [
      'serial_no,model,group,tags,metadata.site',
      ...Array.from(
        { length: 2500 },
        (_, i) => `IMP-${String(i).padStart(4, '0')},IMPORT,${i < 3 ? 'first' : ''},a;b,s${i}`,
      ),
      'bad serial,IMPORT,,,',
    ].join('\n');
    const errors = [{ line: 2502, field: 'serial_no' }];
    expect((await upload(csv, '?dry_run=true')).body).toMatchObject({ created: 2500, failed: 1, errors });
    expect(await names('model=IMPORT')).toEqual([]);
    expect((await upload(csv)).body).toMatchObject({
      created: 2500,
      updated: 0,
      unchanged: 0,
      failed: 1,
      errors,
    });
    expect((await upload(csv)).body).toMatchObject({ created: 0, updated: 0, unchanged: 2500, failed: 1 });
    const again = await upload('serial_no,model,tags\nIMP-0000,IMPORT,c\nIMP-0001,OTHER,c\n');
    expect(again.body).toMatchObject({ updated: 1, failed: 1, errors: [{ line: 3, field: 'model' }] });
    expect((await sky.api('GET', '/devices/IMP-0000')).body).toMatchObject({
      group: 'first',
      tags: ['c'],
      metadata: { site: 's0' },
    });
    expect(await names('q=IMP-000&group=first&tag=b')).toEqual(['IMP-0001', 'IMP-0002']);
    expect((await upload('no header at all')).status).toBe(422);
  });

  it('are in groups, static and by rule, for lists and campaigns alike', async () => {
    await deliver(sky, [
      beat('GR-1', { model: 'GROUPED', current_firmware: 'v1.0.0' }),
      beat('GR-2', { model: 'GROUPED', current_firmware: 'v1.5.0' }),
      beat('GR-3', { model: 'GROUPED', current_firmware: 'v2.0.0', group: 'said' }),
    ]);
    const made = await sky.api('POST', '/groups', {
      name: 'old ones',
      rule: { model: 'GROUPED', fw_version: '< v2.0.0' },
    });
    expect(made).toMatchObject({ status: 201, body: { kind: 'rule' } });
    expect((await sky.api('POST', '/groups', { name: 'old ones' })).status).toBe(409);
    expect((await sky.api('POST', '/groups', { name: 'hand' })).body.kind).toBe('static');
    expect(
      (await sky.api('POST', '/groups/hand/devices', { serial_nos: ['GR-1', 'GR-3'] })).body.devices,
    ).toBe(2);
    expect((await sky.api('POST', '/groups/hand/devices', { serial_nos: ['GR-2', 'NOBODY'] })).status).toBe(
      422,
    );
    expect((await sky.api('POST', '/groups/old%20ones/devices', { serial_nos: ['GR-3'] })).status).toBe(422);
    const word = await sky.api('PUT', '/devices/GR-3', { group: 'old ones' });
    expect(word).toMatchObject({ status: 422, body: { errors: [{ field: 'group' }] } });
    const fresh = { serial_no: 'GR-4', model: 'OTHER', group: 'old ones' };
    expect((await sky.api('POST', '/devices/register', fresh)).status).toBe(422);
    expect((await upload('serial_no,model,group\nGR-5,OTHER,old ones\n')).body).toMatchObject({
      created: 0,
      errors: [{ line: 2, field: 'group' }],
    });
    await deliver(sky, [beat('GR-6', { model: 'OTHER', current_firmware: 'v1.0.0', group: 'old ones' })]);
    expect(await names('group=hand')).toEqual(['GR-1', 'GR-3']);
    expect(await names('group=old%20ones')).toEqual(['GR-1', 'GR-2']);
    expect((await sky.api('GET', '/groups/old%20ones')).body.devices).toBe(2);
    const { items } = (await sky.api('GET', '/groups')).body as { items: { name: string }[] };
    expect(items.map(({ name }) => name)).toEqual(['first', 'hand', 'old ones']);
    const firmware = await publishFirmware(sky, 'v3.0.0', { model: 'GROUPED' });
    const target = { firmware_id: firmware.id, target: { groups: ['old ones'] } };
    expect((await sky.api('POST', '/campaigns/preview', target)).body.count).toBe(2);
    await sky.api('POST', '/campaigns', { name: 'c', ...target });
    expect((await sky.api('DELETE', '/groups/old%20ones')).status).toBe(409);
    expect((await sky.api('DELETE', '/groups/hand')).status).toBe(204);
    expect((await sky.api('GET', '/devices/GR-1')).body.group).toBeNull();
    expect((await sky.api('GET', '/groups/hand')).status).toBe(404);
  });

  it('are in a group that has a rule by that alone, whatever they say or were said to be in', async () => {
    const rule = { name: 'by-rule', rule: { serial_prefix: 'RULED-' } };
    expect((await sky.api('POST', '/groups', rule)).status).toBe(201);
    await deliver(sky, [beat('SAYS-1', { group: 'by-rule' }), beat('SAYS-2', { group: 'by-word' })]);
    expect((await sky.api('GET', '/devices/SAYS-1')).body.group).toBeNull();
    expect(await names('group=by-rule')).toEqual([]);
    expect(await names('group=by-word')).toEqual(['SAYS-2']);
    const taken = await sky.api('POST', '/groups', { ...rule, name: 'by-word' });
    expect([taken.status, taken.body.title]).toEqual([409, 'Devices have this name']);
    expect((await sky.api('POST', '/groups', { name: 'by-word' })).status).toBe(201);
  });

  it('are tagged together, all or none', async () => {
    await deliver(sky, [beat('TAG-1'), beat('TAG-2')]);
    const tag = (body: object) =>
      sky.api('POST', '/devices/tags', { serial_nos: ['TAG-1', 'TAG-2'], ...body });
    expect((await tag({ add: ['x', 'y'] })).body.devices).toBe(2);
    expect((await tag({ add: ['y', 'z'], remove: ['x'] })).body.devices).toBe(2);
    expect((await sky.api('GET', '/devices/TAG-1')).body.tags).toEqual(['y', 'z']);
    expect((await tag({ serial_nos: ['TAG-1', 'NOBODY'], add: ['no'] })).status).toBe(422);
    expect(await names('tag=no')).toEqual([]);
  });

  it('have fifty tags at most, however they come by them', async () => {
    await deliver(sky, [beat('MANY-1'), beat('MANY-2')]);
    const tag = (serial_nos: string[], body: object) =>
      sky.api('POST', '/devices/tags', { serial_nos, ...body });
    const tags = (prefix: string) => Array.from({ length: 40 }, (_, i) => `${prefix}${i}`);
    expect((await tag(['MANY-1'], { add: tags('a') })).status).toBe(200);
    const more = await tag(['MANY-1', 'MANY-2'], { add: tags('b') });
    expect([more.status, more.body.title]).toEqual([422, 'Too many tags']);
    expect(await names('tag=b0')).toEqual([]);
    expect((await tag(['MANY-1'], { add: tags('b'), remove: tags('a') })).status).toBe(200);
    expect(await names('tag=b0')).toEqual(['MANY-1']);
  });

  it('wait for approval where the settings say so, and go out of service for good', async () => {
    const { body } = await sky.api('GET', '/settings');
    await sky.api('PUT', '/settings', { version: body.version, settings: { approve_first: true } });
    await deliver(sky, [beat('WAIT-1')]);
    expect(await names('approved=false')).toEqual(['WAIT-1']);
    const early = await sky.api('POST', '/devices/WAIT-1/commands', { command: 'reboot' });
    expect([early.status, early.body.title]).toEqual([409, 'Device not approved']);
    expect((await sky.api('POST', '/devices/WAIT-1/approve')).body.approved).toBe(true);
    expect((await sky.api('POST', '/devices/WAIT-1/commands', { command: 'reboot' })).status).toBe(202);
    expect(await names('approved=false')).toEqual([]);
    const total = async () => (await sky.api('GET', '/stats/devices')).body;
    expect((await sky.api('POST', '/devices/WAIT-1/decommission')).body).toMatchObject({
      decommissioned: true,
      revoked: true,
    });
    expect(await names('q=WAIT')).toEqual([]);
    expect(await names('q=WAIT&decommissioned=true')).toEqual(['WAIT-1']);
    expect(await deliver(sky, [beat('WAIT-1')])).toBe(1);
    expect(await total()).toHaveProperty('by_status');
  });
});
