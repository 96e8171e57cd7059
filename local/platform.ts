/** The whole product on one machine: starts the parts in order, watches them, stops them in reverse. */
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { initRepository, type Repository } from '../cli/tuf-keys.ts';
import { type Authority, openAuthority } from './authority.ts';
import { putMetadata, seedAccounts } from './bootstrap.ts';
import { type DataDirectory, openData, StartError } from './data.ts';
import { applyMigrations } from './migrate.ts';
import { type Part, startNodePart } from './part.ts';
import { freePort } from './ports.ts';
import { startPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';

export interface PlatformOptions {
  /** Dashboard and API; 0 = any free port. */
  port: number;
  /** MQTT over TLS; 0 = any free port. */
  mqttPort: number;
  devices: number;
  data: string;
  fresh: boolean;
  /** Told as each part comes up. */
  progress?: (line: string) => void;
  /** Sets virtual devices' faults, by serial number; see `device/virtual-hardware.ts`. */
  faults?: Record<string, object>;
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
  pids: Record<string, number>;
}

export interface Platform {
  facts: Facts;
  /** Events of the virtual devices, as they happen. */
  onDeviceEvent(listener: (event: DeviceEvent) => void): void;
  /** Resolves with one line when a part has died by itself. */
  died: Promise<string>;
  stop(): Promise<void>;
}

const deviceEvent = z.object({
  type: z.literal('event'),
  event: z.string(),
  serial_no: z.string(),
  detail: z.record(z.string(), z.unknown()).default({}),
});
export type DeviceEvent = z.infer<typeof deviceEvent>;

const edgeFacts = z.object({ url: z.string(), tls_url: z.string(), workerd_pid: z.int() });

const HEARTBEAT_S = 10;
/** What the virtual devices are. It has a signing role of its own; all other models share one. */
const FLEET_MODEL = 'TX-100';

/** Starts everything. Throws {@link StartError} with one clear line, and leaves nothing running. */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  if (options.port !== 0) await freePort(options.port, '--port');
  if (options.mqttPort !== 0 && process.env.MQTT_URL === undefined)
    await freePort(options.mqttPort, '--mqtt-port');
  const data = await openData(options.data, options.fresh);
  const parts: Part[] = [];
  const stop = async () => {
    for (const part of parts.splice(0).reverse()) await part.stop();
    data.release();
  };
  try {
    return await startParts(options, data, parts, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startParts(
  options: PlatformOptions,
  data: DataDirectory,
  parts: Part[],
  stop: () => Promise<void>,
): Promise<Platform> {
  const { secrets } = data;
  const pids: Record<string, number> = {};
  const say = options.progress ?? (() => undefined);
  const add = <P extends Part>(part: P, pid = part.pid): P => {
    parts.push(part);
    pids[part.name] = pid;
    return part;
  };
  const authority = await openAuthority(data.keys);
  const repository = await initRepository(data.keys, { models: [FLEET_MODEL], anyModel: true });
  const caFile = trustedByDevices(data, authority);

  const databaseUrl = await given('DATABASE_URL', say, async () => {
    const { part, url } = await startPostgres(data);
    add(part);
    return url;
  });
  await applyMigrations(databaseUrl).catch((error: unknown) => {
    throw new StartError(`the database does not take the migrations: ${reason(error)}`);
  });
  const redisUrl = await given('REDIS_URL', say, async () => {
    const { part, url } = await startRedis(data);
    add(part);
    return url;
  });
  say('database and cache are up');

  const edge = await startNodePart('worker', data.logs, here('edge-process.ts'), {
    EDGE_PORT: String(options.port),
    EDGE_DIRECTORY: join(data.path, 'edge'),
    EDGE_VARS: JSON.stringify(workerVars(data, authority, repository)),
    TLS_CERT_FILE: authority.server.certFile,
    TLS_KEY_FILE: authority.server.keyFile,
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    CACHE_TOKEN: secrets.cache_token,
  });
  const { url, tls_url: tlsUrl, workerd_pid } = edgeFacts.parse(edge.ready);
  add(edge, workerd_pid);
  await seedAccounts(databaseUrl, secrets);
  await putMetadata(url, secrets.api_key, repository);
  say(`the edge is up at ${url}`);

  const mqttUrl = await given('MQTT_URL', say, async () => {
    const broker = add(
      await startNodePart('broker', data.logs, here('broker-process.ts'), {
        MQTT_PORT: String(options.mqttPort),
        CA_FILE: authority.ca.certFile,
        CERT_FILE: authority.server.certFile,
        KEY_FILE: authority.server.keyFile,
        CRL_URL: `${url}/ca/crl.pem`,
      }),
    );
    return `mqtts://127.0.0.1:${z.object({ port: z.int() }).parse(broker.ready).port}`;
  });
  add(
    await startNodePart('bridge', data.logs, new URL('../broker-bridge/main.ts', import.meta.url), {
      MQTT_URL: mqttUrl,
      ...mqttCredentials(authority),
      EDGE_URL: url,
      BRIDGE_TOKEN: secrets.bridge_token,
      BRIDGE_ID: 'local-1',
      ...(process.env.MQTT_URL === undefined ? { MQTT_VERSION: '4' } : {}),
      HEALTH_PORT: '0',
    }),
  );
  say(`the broker is up at ${mqttUrl}, and the bridge with it`);

  const listeners: ((event: DeviceEvent) => void)[] = [];
  if (options.devices > 0) {
    const fleet = await startNodePart(
      'devices',
      data.logs,
      new URL('../device/fleet-process.ts', import.meta.url),
      {
        SKYLARK_FLEET: JSON.stringify({
          dir: join(data.path, 'devices'),
          count: options.devices,
          model: FLEET_MODEL,
          version: 'v1.0.0',
          server_url: tlsUrl,
          api_key: secrets.api_key,
          mqtt_url: mqttUrl,
          ca_file: caFile,
          tuf_root_file: repository.rootFile,
          heartbeat_interval_s: HEARTBEAT_S,
          faults: options.faults ?? {},
        }),
      },
      120_000,
    );
    parts.push(fleet);
    fleet.child.on('message', (message) => {
      const event = deviceEvent.safeParse(message);
      if (event.success) for (const listener of listeners) listener(event.data);
    });
    say(`${options.devices} virtual devices are enrolled and connected`);
  }

  return {
    facts: {
      ready: true,
      url,
      https_url: tlsUrl,
      admin: { email: secrets.admin_email, password: secrets.admin_password },
      api_key: secrets.api_key,
      mqtt: { url: mqttUrl, ca_file: caFile },
      database_url: databaseUrl,
      redis_url: redisUrl,
      bridge_token: secrets.bridge_token,
      release_key: repository.keyFiles.release,
      pids,
    },
    onDeviceEvent: (listener) => listeners.push(listener),
    died: Promise.race(parts.map(async (part) => `the part "${part.name}" died: ${await part.gone}`)),
    stop,
  };
}

/** A real part by its environment variable, else the local one. */
async function given(
  variable: string,
  say: (line: string) => void,
  start: () => Promise<string>,
): Promise<string> {
  const url = process.env[variable];
  if (url === undefined || url === '') return start();
  if (!URL.canParse(url)) throw new StartError(`${variable} is not a URL`);
  await mustAnswer(variable, new URL(url));
  say(`${variable} is set: using ${new URL(url).host}`);
  return url;
}

const PORTS: Record<string, number> = {
  'postgres:': 5432,
  'postgresql:': 5432,
  'redis:': 6379,
  'rediss:': 6379,
  'mqtt:': 1883,
  'mqtts:': 8883,
};
const ANSWER_MS = 10_000;

/** A real part that is not there is said at once, and not found out later. */
async function mustAnswer(variable: string, { protocol, hostname, port }: URL): Promise<void> {
  const socket = connect(
    port === '' ? (PORTS[protocol] ?? 0) : Number(port),
    hostname.replace(/^\[|\]$/g, ''),
  );
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(ANSWER_MS) });
  } catch (error) {
    throw new StartError(`${variable}: nothing answers at ${hostname}:${port} (${reason(error)})`);
  } finally {
    socket.destroy();
  }
}

/** What devices trust: our own CA for the edge, and with a broker of your own the CA of that. */
function trustedByDevices(data: DataDirectory, authority: Authority): string {
  const own = process.env.MQTT_URL === undefined ? undefined : process.env.MQTT_CA_FILE;
  if (own === undefined) return authority.ca.certFile;
  if (!existsSync(own)) throw new StartError(`MQTT_CA_FILE: there is no file ${own}`);
  const file = join(data.keys, 'trusted-by-devices.pem');
  writeFileSync(file, `${authority.ca.cert}\n${readFileSync(own, 'utf8')}`);
  return file;
}

/** To the embedded broker by certificate; to one of your own by whatever its variables say. */
function mqttCredentials(authority: Authority): Record<string, string> {
  const own = ['MQTT_CA_FILE', 'MQTT_CERT_FILE', 'MQTT_KEY_FILE', 'MQTT_USERNAME', 'MQTT_PASSWORD'];
  const set = own.flatMap((name) =>
    process.env[name] === undefined ? [] : [[name, process.env[name] ?? '']],
  );
  if (process.env.MQTT_URL !== undefined) return Object.fromEntries(set);
  return {
    MQTT_CA_FILE: authority.ca.certFile,
    MQTT_CERT_FILE: authority.bridge.certFile,
    MQTT_KEY_FILE: authority.bridge.keyFile,
  };
}

function workerVars(
  { secrets }: DataDirectory,
  authority: Authority,
  repository: Repository,
): Record<string, string> {
  return {
    BRIDGE_TOKENS: secrets.bridge_token,
    JWT_SECRET: secrets.jwt_secret,
    DOWNLOAD_KEYS: JSON.stringify(secrets.download_keys),
    DEVICE_CA_CERT: authority.ca.cert,
    DEVICE_CA_KEY: authority.ca.key,
    TUF_ONLINE_KEY: readFileSync(repository.keyFiles.online, 'utf8'),
  };
}

const here = (file: string): URL => new URL(file, import.meta.url);

/** The innermost message: drivers wrap what happened. */
function reason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reason(error.errors[0]);
  if (error instanceof Error && error.cause !== undefined) return reason(error.cause);
  return error instanceof Error ? error.message : String(error);
}
