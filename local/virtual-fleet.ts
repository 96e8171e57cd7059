/** The virtual devices as a part: what they are told, and what is heard of them. */
import { join } from 'node:path';
import { z } from 'zod';
import type { Messaging } from './messaging.ts';
import { startNodePart } from './part.ts';
import { moduleAt, type Site } from './site.ts';

const deviceEvent = z.object({
  type: z.literal('event'),
  event: z.string(),
  serial_no: z.string(),
  detail: z.record(z.string(), z.unknown()).default({}),
});
export type DeviceEvent = z.infer<typeof deviceEvent>;

export interface FleetOptions {
  devices: number;
  /** Sets virtual devices' faults, by serial number; see `device/virtual-hardware.ts`. */
  faults?: Record<string, object>;
}

const HEARTBEAT_S = 10;
const DEADLINE_MS = 120_000;

/** What the virtual devices are. It has a signing role of its own; all other models share one. */
export const FLEET_MODEL = 'TX-100';

/** Starts the devices; they enrol at `serverUrl` and connect. Answers how many do; `tell` hears of their events. */
export async function startFleet(
  { data, parts, repository }: Site,
  { devices, faults = {} }: FleetOptions,
  { mqttUrl, caFile }: Messaging,
  serverUrl: string,
  tell: (event: DeviceEvent) => void,
): Promise<number> {
  const settings = {
    dir: join(data.path, 'devices'),
    count: devices,
    model: FLEET_MODEL,
    version: 'v1.0.0',
    server_url: serverUrl,
    api_key: data.secrets.api_key,
    mqtt_url: mqttUrl,
    ca_file: caFile,
    tuf_root_file: repository.rootFile,
    heartbeat_interval_s: HEARTBEAT_S,
    faults,
  };
  const fleet = await parts.run(async () => {
    const module = moduleAt('../device/fleet-process.ts');
    const env = { SKYLARK_FLEET: JSON.stringify(settings) };
    const fleet = await startNodePart('devices', data.logs, module, env, DEADLINE_MS);
    fleet.child.on('message', (message) => {
      const event = deviceEvent.safeParse(message);
      if (event.success) tell(event.data);
    });
    return fleet;
  });
  return z.int().parse(fleet.ready.connected);
}
