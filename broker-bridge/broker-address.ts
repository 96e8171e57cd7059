/** How the broker is reached: a plain or TLS socket, with the files it needs. */
import { readFileSync } from 'node:fs';
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { Configuration } from './configuration.ts';

const FILES = { ca: 'MQTT_CA_FILE', cert: 'MQTT_CERT_FILE', key: 'MQTT_KEY_FILE' } as const;

/** Begins to connect. The files are read anew each time: certificates are renewed. Throws what `tlsFiles` throws. */
export function openSocket(config: Configuration): Socket {
  const { hostname, protocol, port } = new URL(config.MQTT_URL);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (protocol === 'mqtt:' || protocol === 'tcp:') {
    return connectPlain({ host, port: Number(port || 1883), noDelay: true });
  }
  const socket = connectTls({
    host,
    port: Number(port || 8883),
    minVersion: 'TLSv1.2',
    ...tlsFiles(config),
    ...(isIP(host) === 0 ? { servername: host } : {}),
  });
  return socket.setNoDelay(true);
}

/** The CA, certificate and key. Throws one sentence naming the variable whose file cannot be read. */
export function tlsFiles(config: Configuration): Pick<ConnectionOptions, keyof typeof FILES> {
  const files: Pick<ConnectionOptions, keyof typeof FILES> = {};
  for (const [name, variable] of Object.entries(FILES) as [keyof typeof FILES, keyof Configuration][]) {
    const path = config[variable];
    if (typeof path !== 'string') continue;
    try {
      files[name] = readFileSync(path);
    } catch (error) {
      throw new Error(`${variable}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return files;
}
