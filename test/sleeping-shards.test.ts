import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { shardOf } from '../protocol/shards.ts';
import { beat, deliver } from './ingest.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

/** Longer than a shard to which nothing happens keeps its memory. */
const SILENT_S = 22;
/** The alarm rings in steps, and machines are slow. */
const LATE_S = 6;

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

/** Nobody asks the shard: that would keep it awake. */
const offlineAt = async (serial: string): Promise<number> => {
  await eventually(`${serial} to be offline`, async () => {
    const { rows } = await db.query('SELECT status FROM devices WHERE serial_no = $1', [serial]);
    return rows[0]?.status === 'offline';
  });
  return Date.now();
};

it('a device is offline when it has been silent, not before and not never, though its shard sleeps meanwhile', async () => {
  expect(shardOf('ONCE-1')).not.toBe(shardOf('BACK-1'));
  const { body } = await sky.api('GET', '/settings');
  const settings = { offline_after_s: SILENT_S };
  expect((await sky.api('PUT', '/settings', { version: body.version, settings })).status).toBe(200);
  await deliver(sky, [beat('BACK-1')]);
  await deliver(sky, [
    { serial_no: 'BACK-1', channel: 'status', payload: { serial_no: 'BACK-1', status: 'offline' } },
  ]);
  await offlineAt('BACK-1');
  await deliver(sky, [beat('BACK-1'), beat('ONCE-1')]);
  const onceHeard = Date.now();
  await wait(8000);
  await deliver(sky, [beat('BACK-1')]);
  const backHeard = Date.now();
  const [once, back] = await Promise.all([offlineAt('ONCE-1'), offlineAt('BACK-1')]);
  for (const silence of [(once - onceHeard) / 1000, (back - backHeard) / 1000]) {
    expect(silence).toBeGreaterThan(SILENT_S - 1.5);
    expect(silence).toBeLessThan(SILENT_S + LATE_S);
  }
  const lastSeen = Date.parse(String((await sky.api('GET', '/devices/ONCE-1')).body.last_seen));
  expect(Math.abs(lastSeen - onceHeard)).toBeLessThan(1500);
});
