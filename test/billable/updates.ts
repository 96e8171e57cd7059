/** Counting what is billed for a campaign's updates, each message of a device on its own road to the edge. */

import { Ledger } from '../faults/ledger.ts';
import { beat, deliver } from '../ingest.ts';
import { publishFirmware } from '../publish.ts';
import { eventually, type Skylark } from '../skylark.ts';
import { type Billable, each, reset } from './count.ts';

const MODEL = 'BILLED';
const DEVICES = 50;
/** What a device says of an update, apart from its heartbeats. */
const SAYS = [
  { status: 'downloading' },
  { status: 'downloading', progress: 50 },
  { status: 'installing' },
  { status: 'rebooting' },
  { status: 'completed' },
];

/** What one device's update costs from its offer to its end, at an edge with `worker.ts` beside this. */
export async function costOfUpdates(sky: Skylark): Promise<Billable> {
  const serials = Array.from({ length: DEVICES }, (_, n) => `${MODEL}-${n}`);
  await deliver(
    sky,
    serials.map((serial) => beat(serial, { model: MODEL })),
  );
  const version = 'v2.0.0';
  const firmware = await publishFirmware(sky, version, { model: MODEL });
  const stages = [{ name: 'all', percentage: 100 }];
  const made = await sky.api('POST', '/campaigns', { name: MODEL, firmware_id: firmware.id, stages });
  const campaign_id = String(made.body.id);
  const ledger = new Ledger(sky.facts.database_url);
  // Asking the edge would cost as well.
  const all = async (status: string) => {
    const states = Object.values(await ledger.members(campaign_id));
    return states.length === DEVICES && states.every((state) => state === status);
  };
  await reset(sky);
  await sky.api('POST', `/campaigns/${campaign_id}/start`);
  await eventually('all to be offered the update', () => all('offered'));
  const timestamp = Math.floor(Date.now() / 1000);
  for (const says of SAYS) {
    for (const serial_no of serials) {
      await deliver(sky, [{ serial_no, channel: 'status', payload: { campaign_id, timestamp, ...says } }]);
    }
  }
  for (const serial of serials)
    await deliver(sky, [beat(serial, { model: MODEL, current_firmware: version })]);
  await eventually('all to have it', () => all('completed'));
  const sum = await reset(sky);
  await ledger.close();
  return each((key) => sum[key] / DEVICES);
}
