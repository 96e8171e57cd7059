import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { virtualSerial } from '../device/fleet.ts';
import type { CampaignMetrics } from '../protocol/api.ts';
import { hash32 } from '../protocol/shards.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

const serials = Array.from({ length: 6 }, (_, i) => virtualSerial(i + 1));

describe('a campaign on real devices', () => {
  let sky: Skylark;
  beforeAll(async () => {
    // The canary, and every stage, is a run of the devices in the order of their hashes.
    const [canary = ''] = [...serials].sort((a, b) => hash32(a) - hash32(b));
    const faults = { [canary]: { fail_boot_of: ['v9.0.0-bad', 'v9.0.0-half'] } };
    sky = await startSkylark({ devices: serials.length, faults });
  });
  afterAll(() => sky.stop());

  const create = async (firmware_id: string, more: object = {}): Promise<string> => {
    const made = await sky.api('POST', '/campaigns', { name: 'test', firmware_id, ...more });
    expect(made.status).toBe(201);
    return String(made.body.id);
  };
  const status = async (id: string) => (await sky.api('GET', `/campaigns/${id}`)).body;
  const metrics = async (id: string) =>
    (await sky.api('GET', `/campaigns/${id}/metrics`)).body as unknown as CampaignMetrics;
  const becomes = (id: string, wanted: string) =>
    eventually(
      `the campaign to be ${wanted}`,
      async () => (await status(id)).status === wanted && (await status(id)),
      60_000,
    );
  const versions = async () => {
    const { items } = (await sky.api('GET', '/devices')).body as {
      items: { serial_no: string; current_firmware: string }[];
    };
    return new Map(items.map((d) => [d.serial_no, d.current_firmware]));
  };

  it('stops a bad build at the canary: one device is touched and goes back, the others never are', async () => {
    const bad = await publishFirmware(sky, 'v9.0.0-bad');
    const id = await create(bad.id);
    expect((await sky.api('POST', `/campaigns/${id}/start`)).body).toMatchObject({ status: 'active' });
    const stopped = await becomes(id, 'paused');
    expect(stopped.status_reason).toMatch(/stage "one device" stopped: 1 of 1 failed \(100 %\)/);
    const { counts, errors } = await metrics(id);
    expect(counts).toMatchObject({ rollback: 1, pending: 5 });
    expect(errors).toEqual([{ error: 'boot_failure', count: 1 }]);
    expect([...(await versions()).values()]).toEqual(serials.map(() => 'v1.0.0'));
    expect((await sky.api('POST', `/campaigns/${id}/cancel`)).body).toMatchObject({ status: 'cancelled' });
    await eventually('the ledger to have it all', async () => {
      const { body } = await sky.api('GET', `/campaigns/${id}/devices?status=skipped`);
      return (body.items as unknown[]).length === 5;
    });
  });

  it('takes no device after the acknowledged pause, and goes on after the resume', async () => {
    const good = await publishFirmware(sky, 'v1.2.0');
    const id = await create(good.id, { stages: [{ name: 'all', percentage: 100 }], rate_per_minute: 30 });
    await sky.api('POST', `/campaigns/${id}/start`);
    await eventually('the first device to begin', async () => (await metrics(id)).counts.pending < 6);
    expect((await sky.api('POST', `/campaigns/${id}/pause`)).body).toMatchObject({ status: 'paused' });
    const { pending } = (await metrics(id)).counts;
    expect(pending).toBeGreaterThan(0);
    await eventually(
      'those under way to end',
      async () => (await metrics(id)).counts.completed === 6 - pending,
    );
    expect((await metrics(id)).counts.pending).toBe(pending);
    await sky.api('PUT', `/campaigns/${id}`, { rate_per_minute: 10_000 });
    await sky.api('POST', `/campaigns/${id}/resume`);
    await becomes(id, 'completed');
    expect([...(await versions()).values()]).toEqual(serials.map(() => 'v1.2.0'));
  });

  it('has the same numbers in its object, in the ledger and on the devices', async () => {
    // The ledger follows the object within a tick.
    const id = await eventually('the ledger to have it completed', async () => {
      const { body } = await sky.api('GET', '/campaigns?status=completed');
      return (body.items as { id: string }[])[0]?.id;
    });
    const client = new Client({ connectionString: sky.facts.database_url });
    await client.connect();
    const rows = await client.query(
      'SELECT status::text, count(*)::int AS n FROM campaign_devices WHERE campaign_id = $1 GROUP BY 1',
      [id],
    );
    const left = await client.query(
      'SELECT count(*)::int AS n FROM devices WHERE target_version IS NOT NULL',
    );
    await client.end();
    expect(rows.rows).toEqual([{ status: 'completed', n: (await metrics(id)).counts.completed }]);
    expect(left.rows).toEqual([{ n: 0 }]);
    const history = (await sky.api('GET', `/devices/${serials[0]}/history`)).body.items as {
      kind: string;
      detail: { status?: string };
    }[];
    expect(history.filter((e) => e.kind === 'update').map((e) => e.detail.status)).toContain('completed');
  });

  it('has nothing to do where every device has the version', async () => {
    const { items } = (await sky.api('GET', '/firmware?version=v1.2.0')).body as { items: { id: string }[] };
    const started = await sky.api('POST', `/campaigns/${await create(items[0]?.id ?? '')}/start`);
    expect([started.status, started.type]).toEqual([409, 'application/problem+json']);
    expect(started.body.detail).toMatch(/no device needs this firmware/);
  });

  it('cannot be told what it is not in a state for', async () => {
    const { items } = (await sky.api('GET', '/campaigns?status=completed')).body as {
      items: { id: string }[];
    };
    for (const action of ['start', 'pause', 'resume', 'cancel']) {
      expect((await sky.api('POST', `/campaigns/${items[0]?.id}/${action}`)).status).toBe(409);
    }
  });

  it('takes back who has completed, when it is to roll back on failure', async () => {
    // All of them run v1.2.0 now; the version that does not boot is released once more, for whoever boots it.
    const bad = await publishFirmware(sky, 'v9.0.0-half');
    const id = await create(bad.id, {
      stages: [
        { name: 'first', percentage: 50, success_threshold: 50 },
        { name: 'rest', percentage: 100 },
      ],
      failure_threshold: 20,
      on_failure: 'rollback',
    });
    await sky.api('POST', `/campaigns/${id}/start`);
    const over = await becomes(id, 'rolled_back');
    expect(over.status_reason).toMatch(/stopped: \d of 3 failed/);
    await eventually(
      'every device to be back',
      async () => [...(await versions()).values()].every((v) => v === 'v1.2.0'),
      60_000,
    );
    const { items } = (await sky.api('GET', '/campaigns')).body as {
      items: { name: string; id: string; status: string }[];
    };
    const back = items.find((c) => c.name === 'test: back to v1.2.0');
    expect(back).toBeDefined();
    await becomes(back?.id ?? '', 'completed');
    expect((await metrics(id)).counts).toMatchObject({ completed: 2, rollback: 1, skipped: 3 });
  });

  it('starts at its time, and not when it was cancelled before', async () => {
    const { items } = (await sky.api('GET', '/firmware?version=v9.0.0-bad')).body as {
      items: { id: string }[];
    };
    const soon = await create(items[0]?.id ?? '', { start_at: new Date(Date.now() + 1500).toISOString() });
    expect((await sky.api('POST', `/campaigns/${soon}/start`)).body.status).toBe('scheduled');
    await becomes(soon, 'paused');
    const later = await create(items[0]?.id ?? '', {
      start_at: new Date(Date.now() + 3_600_000).toISOString(),
    });
    await sky.api('POST', `/campaigns/${later}/start`);
    expect((await sky.api('POST', `/campaigns/${later}/cancel`)).body.status).toBe('cancelled');
    expect((await sky.api('POST', `/campaigns/${later}/start`)).status).toBe(409);
  });

  it('tells watchers of a draft how it stands, too, and what becomes of it', async () => {
    const next = await publishFirmware(sky, 'v1.4.0');
    const id = await create(next.id, { start_at: new Date(Date.now() + 3_600_000).toISOString() });
    const { WebSocket } = await import('undici');
    const socket = new WebSocket(`${sky.facts.url.replace('http', 'ws')}/api/v1/stream/campaigns/${id}`, {
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    });
    const events: { type: string; status: string; metrics: object }[] = [];
    const told = (status: string) =>
      eventually(`to be told it is ${status}`, async () => events.at(-1)?.status === status);
    socket.addEventListener('message', ({ data }) => {
      events.push(JSON.parse(String(data)));
    });
    await told('draft');
    expect(events[0]).toMatchObject({ type: 'snapshot', id, metrics: { target: 0, started_at: null } });
    await sky.api('POST', `/campaigns/${id}/start`);
    await told('scheduled');
    await sky.api('POST', `/campaigns/${id}/cancel`);
    await told('cancelled');
    socket.close();
  });

  it('tells watchers how it stands, then every change', async () => {
    const next = await publishFirmware(sky, 'v1.3.0');
    const id = await create(next.id, { stages: [{ name: 'all', percentage: 100 }] });
    await sky.api('POST', `/campaigns/${id}/start`);
    const { WebSocket } = await import('undici');
    const socket = new WebSocket(`${sky.facts.url.replace('http', 'ws')}/api/v1/stream/campaigns/${id}`, {
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    });
    const events: { type: string; status: string }[] = [];
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('error', () => reject(new Error('the stream failed')));
      socket.addEventListener('message', ({ data }) => {
        events.push(JSON.parse(String(data)));
        if (events.at(-1)?.status === 'completed') resolve();
      });
    });
    socket.close();
    expect(events[0]?.type).toBe('snapshot');
    expect(events.at(-1)).toMatchObject({ type: 'update', status: 'completed' });
  });
});
