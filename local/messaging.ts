/** The broker, and the bridge or bridges between it and the edge. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { StartError } from './data.ts';
import { given } from './external.ts';
import { startMosquitto } from './mosquitto.ts';
import { type Part, startNodePart } from './part.ts';
import { moduleAt, type Site } from './site.ts';

export interface MessagingOptions {
  /** MQTT over TLS; 0 = any free port. */
  mqttPort: number;
  /** Which broker is started where `MQTT_URL` names none. */
  broker?: 'embedded' | 'mosquitto';
  /** How many bridges share the load; several need MQTT 5, which the embedded broker has not. Default 1. */
  bridges?: number;
}

export interface Messaging {
  mqttUrl: string;
  /** What devices trust. */
  caFile: string;
}

interface BrokerPart extends Part {
  port: number;
}

/** Starts both, against the edge at `edgeUrl`. */
export async function startMessaging(
  site: Site,
  options: MessagingOptions,
  edgeUrl: string,
): Promise<Messaging> {
  const { parts, say } = site;
  const caFile = trustedByDevices(site);
  const { broker = 'embedded' } = options;
  const mqttUrl = await given('MQTT_URL', say, async () => {
    const { port } = await parts.run<BrokerPart>((before) => {
      const at = before?.port ?? options.mqttPort;
      return broker === 'mosquitto' ? startMosquitto(site, at) : startEmbedded(site, at, edgeUrl);
    });
    return `mqtts://127.0.0.1:${port}`;
  });
  const own = process.env.MQTT_URL !== undefined || broker === 'mosquitto';
  for (let n = 1; n <= (options.bridges ?? 1); n += 1) {
    await parts.run(() =>
      startNodePart(
        n === 1 ? 'bridge' : `bridge-${n}`,
        site.data.logs,
        moduleAt('../broker-bridge/main.ts'),
        {
          MQTT_URL: mqttUrl,
          ...mqttCredentials(site),
          EDGE_URL: edgeUrl,
          BRIDGE_TOKEN: site.data.secrets.bridge_token,
          BRIDGE_ID: `local-${n}`,
          ...(own ? {} : { MQTT_VERSION: '4' }),
          HEALTH_PORT: '0',
        },
      ),
    );
  }
  say(`the broker is up at ${mqttUrl}, and the bridge with it`);
  return { mqttUrl, caFile };
}

async function startEmbedded({ data, authority }: Site, port: number, edgeUrl: string): Promise<BrokerPart> {
  const part = await startNodePart('broker', data.logs, moduleAt('./broker-process.ts'), {
    MQTT_PORT: String(port),
    CA_FILE: authority.ca.certFile,
    CERT_FILE: authority.server.certFile,
    KEY_FILE: authority.server.keyFile,
    CRL_URL: `${edgeUrl}/ca/crl.pem`,
    SESSIONS_FILE: join(data.path, 'broker.sqlite'),
  });
  return { ...part, port: z.object({ port: z.int() }).parse(part.ready).port };
}

/** What devices trust: our own CA for the edge, and with a broker of your own the CA of that. */
function trustedByDevices({ data, authority }: Site): string {
  const own = process.env.MQTT_URL === undefined ? undefined : process.env.MQTT_CA_FILE;
  if (own === undefined) return authority.ca.certFile;
  if (!existsSync(own)) throw new StartError(`MQTT_CA_FILE: there is no file ${own}`);
  const file = join(data.keys, 'trusted-by-devices.pem');
  writeFileSync(file, `${authority.ca.cert}\n${readFileSync(own, 'utf8')}`);
  return file;
}

/** To a local broker by certificate; to one of your own by whatever its variables say. */
function mqttCredentials({ authority }: Site): Record<string, string> {
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
