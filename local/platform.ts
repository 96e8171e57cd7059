/** The whole product on one machine: starts the parts in order, watches them, stops them in reverse. */
import { initRepository } from '../cli/tuf-keys.ts';
import { openAuthority } from './authority.ts';
import { openData } from './data.ts';
import { startEdgePart } from './edge-part.ts';
import { type MessagingOptions, startMessaging } from './messaging.ts';
import { Parts } from './parts.ts';
import { freePort } from './ports.ts';
import type { Site } from './site.ts';
import { startStores } from './stores.ts';
import { type DeviceEvent, FLEET_MODEL, type FleetOptions, startFleet } from './virtual-fleet.ts';

export type { DeviceEvent };

export interface PlatformOptions extends MessagingOptions, FleetOptions {
  /** Dashboard and API; 0 = any free port. */
  port: number;
  data: string;
  fresh: boolean;
  /** A part that dies is started again, at the same port with the same data. Else its death ends everything. */
  supervise?: boolean;
  /** Another module in place of the Worker's own, a path below the root: for tests that look into it. */
  workerEntry?: string;
  /** Told as each part comes up. */
  progress?: (line: string) => void;
}

/** What the outside needs to know; the line `npm start -- --json` prints. */
export interface Facts {
  ready: true;
  url: string;
  /** The same behind TLS. */
  https_url: string;
  admin: { email: string; password: string };
  api_key: string;
  mqtt: { url: string; ca_file: string };
  database_url: string;
  redis_url: string;
  bridge_token: string;
  release_key: string;
  /** Of the processes that run now: under supervision they change. */
  pids: Record<string, number>;
}

export interface Platform {
  facts: Facts;
  /** Events of the virtual devices, as they happen. */
  onDeviceEvent(listener: (event: DeviceEvent) => void): void;
  /** Resolves with one line when a part has died by itself; under supervision, when it cannot be started again. */
  died: Promise<string>;
  /** Under supervision: resolves when a part has died and runs again, the next time that happens. */
  startedAgain(part: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts everything. Throws {@link StartError} with one clear line, and leaves nothing running. */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  if (options.port !== 0) await freePort(options.port, '--port');
  if (options.mqttPort !== 0 && process.env.MQTT_URL === undefined)
    await freePort(options.mqttPort, '--mqtt-port');
  const data = await openData(options.data, options.fresh);
  const parts = new Parts(options.supervise ?? false);
  const stop = async () => {
    await parts.stop();
    data.release();
  };
  try {
    const site: Site = {
      data,
      parts,
      authority: await openAuthority(data.keys),
      repository: await initRepository(data.keys, { models: [FLEET_MODEL], anyModel: true }),
      workerEntry: options.workerEntry,
      say: options.progress ?? (() => undefined),
    };
    return { ...(await startParts(options, site)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startParts(options: PlatformOptions, site: Site): Promise<Omit<Platform, 'stop'>> {
  const { data, parts, repository, say } = site;
  const stores = await startStores(site);
  const { url, tlsUrl } = await startEdgePart(site, stores, options.port);
  const messaging = await startMessaging(site, options, url);
  const listeners: ((event: DeviceEvent) => void)[] = [];
  if (options.devices > 0) {
    const connected = await startFleet(site, options, messaging, tlsUrl, (event) => {
      for (const listener of listeners) listener(event);
    });
    const out = options.devices - connected;
    const others = out === 0 ? '' : `; ${out} cannot get in, as one that is revoked`;
    say(`${connected} virtual devices are enrolled and connected${others}`);
  }
  const { secrets } = data;
  return {
    facts: {
      ready: true,
      url,
      https_url: tlsUrl,
      admin: { email: secrets.admin_email, password: secrets.admin_password },
      api_key: secrets.api_key,
      mqtt: { url: messaging.mqttUrl, ca_file: messaging.caFile },
      database_url: stores.databaseUrl,
      redis_url: stores.redisUrl,
      bridge_token: secrets.bridge_token,
      release_key: repository.keyFiles.release,
      pids: parts.pids,
    },
    onDeviceEvent: (listener) => listeners.push(listener),
    died: parts.died,
    startedAgain: (part) => parts.startedAgain(part),
  };
}
