/** A fleet of virtual devices in one process, each with its own key, certificate, slots and connection. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fetch, Agent as HttpAgent } from 'undici';
import { z } from 'zod';
import type { AgentEvent } from './agent.ts';
import { checkConfiguration, type DeviceConfiguration } from './configuration.ts';
import { enrol, isEnrolled } from './enrol.ts';
import { faults, VirtualDevice } from './virtual-device.ts';

export const fleetOptions = z.object({
  dir: z.string(),
  count: z.int().min(0),
  model: z.string(),
  version: z.string(),
  server_url: z.string(),
  api_key: z.string(),
  mqtt_url: z.string(),
  ca_file: z.string(),
  tuf_root_file: z.string().optional(),
  heartbeat_interval_s: z.number(),
  /** By serial number. */
  faults: z.record(z.string(), faults).default({}),
});
export type FleetOptions = z.infer<typeof fleetOptions>;

export type FleetEvent = (event: AgentEvent, serialNo: string, detail: Record<string, unknown>) => void;

const AT_ONCE = 4;
const REQUEST_MS = 30_000;
/** A device that does not come does not hold up the next for longer. */
const PATIENCE_MS = 5000;

/** The serial number of the nth virtual device, from 1. */
export const virtualSerial = (n: number): string => `VD-${String(n).padStart(4, '0')}`;

/**
 * Registers, enrols and starts the devices; resolves when all are connected that get in, and says how many
 * do. Throws where none does.
 */
export async function startFleet(
  options: FleetOptions,
  event: FleetEvent,
): Promise<{ connected: number; stop(): Promise<void> }> {
  const devices: VirtualDevice[] = [];
  const starts: Promise<void>[] = [];
  const failures: unknown[] = [];
  const serials = Array.from({ length: options.count }, (_, index) => virtualSerial(index + 1));
  const http = new HttpAgent({ connect: { ca: readFileSync(options.ca_file) } });
  const next = async (): Promise<void> => {
    for (let serial = serials.shift(); serial !== undefined; serial = serials.shift()) {
      const own = serial;
      const config = configurationOf(options, own);
      mkdirSync(config.state_dir, { recursive: true, mode: 0o700 });
      if (!isEnrolled(config.cert_file, config.key_file)) await introduce(options, config, http);
      const device = new VirtualDevice(config, options.faults[own] ?? {}, (name, detail = {}) =>
        event(name, own, detail),
      );
      devices.push(device);
      const started = device.start();
      starts.push(started.catch((error: unknown) => void failures.push(error)));
      await Promise.race([started.catch(() => undefined), wait(PATIENCE_MS, undefined, { ref: false })]);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    await Promise.all(starts);
  } finally {
    await http.close();
  }
  // One that is revoked stays out, without the others.
  if (failures.length > 0 && failures.length === devices.length) throw failures[0];
  return {
    connected: devices.length - failures.length,
    stop: async () => {
      await Promise.all(devices.map((device) => device.stop()));
    },
  };
}

function configurationOf(options: FleetOptions, serial_no: string): DeviceConfiguration {
  const directory = join(options.dir, serial_no);
  return checkConfiguration(
    {
      serial_no,
      mqtt_broker: options.mqtt_url,
      cert_file: 'device.pem',
      key_file: 'device.key.pem',
      ca_file: options.ca_file,
      model: options.model,
      version: options.version,
      server_url: options.server_url,
      ...(options.tuf_root_file === undefined ? {} : { tuf_root_file: options.tuf_root_file }),
      heartbeat_interval_s: options.heartbeat_interval_s,
      web: false,
    },
    directory,
  );
}

/** Registers the device and gets it its certificate, as a factory line would. */
async function introduce(
  options: FleetOptions,
  config: DeviceConfiguration,
  dispatcher: HttpAgent,
): Promise<void> {
  const post = async (path: string, body?: object): Promise<unknown> => {
    const response = await fetch(new URL(path, options.server_url), {
      method: 'POST',
      headers: { Authorization: `Bearer ${options.api_key}`, 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      dispatcher,
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} was answered ${response.status}: ${text.slice(0, 300)}`);
    return JSON.parse(text);
  };
  const { serial_no, model } = config;
  await post('/api/v1/devices/register', { serial_no, model });
  const { token } = z
    .object({ token: z.string() })
    .parse(await post(`/api/v1/devices/${serial_no}/enrolment-tokens`));
  await enrol({ ...config, server_url: options.server_url, token });
}
