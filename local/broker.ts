/**
 * The embedded MQTT broker: TLS 1.3, client certificates, and a list of what each may do. A device is its
 * certificate's CN and reaches its own four topics; the bridge reaches all of them.
 */
import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { createServer, type TLSSocket } from 'node:tls';
import * as x509 from '@peculiar/x509';
import { Aedes, type AedesPublishPacket, type Client } from 'aedes';
import { serialNo } from '../protocol/identifiers.ts';
import { UP_CHANNELS, upTopic } from '../protocol/topics.ts';
import { Sessions } from './broker-sessions.ts';
import { log } from './part-process.ts';

const BRIDGE_UNIT = 'skylark-bridge';
const CRL_EVERY_MS = 30_000;
const DISCONNECT = /^\$skylark\/disconnect\/([A-Za-z0-9_-]{1,64})$/;

export interface BrokerOptions {
  port: number;
  ca: string;
  cert: string;
  key: string;
  /** Where the revocation list is; read at the start and every half minute. */
  crlUrl?: string;
  /** Where sessions and what waits for them are kept; by default in memory only. */
  sessionsFile?: string;
}

/** Of a CONNACK, MQTT 3.1.1. */
const NOT_AUTHORIZED = 5;

type Identity = { kind: 'bridge' } | { kind: 'device'; serial_no: string; certificate: string };

/** Starts the broker on the loopback interface. */
export async function startBroker(options: BrokerOptions): Promise<{ port: number; close(): Promise<void> }> {
  const identities = new WeakMap<object, Identity>();
  const revoked = new Set<string>();
  /** The one each device came with last: of a CA of one's own no list says which they are. */
  const latest = new Map<string, string>();
  const of = (client: Client | null) => (client === null ? undefined : identities.get(client.conn));
  const sessions = new Sessions(options.sessionsFile ?? ':memory:', (client, topic) => {
    const identity = of(client);
    return identity !== undefined && maySubscribe(identity, topic);
  });
  const aedes = await Aedes.createBroker({
    heartbeatInterval: 60_000,
    persistence: sessions,
    maxClientsIdLength: 256,
  });
  /** From its first subscription on, what comes for a bridge is kept for it; before, it would be acknowledged and lost. */
  let bridged = (await sessions.subscriptionsByTopic(upTopic('any', 'status'))).length > 0;

  aedes.preConnect = (client, packet, done) => {
    const identity = identityOf(client.conn as TLSSocket);
    if (identity === undefined)
      return done(new Error('the certificate names neither a device nor the bridge'), false);
    if (identity.kind === 'device' && !bridged) {
      return done(new Error('no bridge has subscribed yet'), false);
    }
    identities.set(client.conn, identity);
    // A session is of one identity: whoever comes with another's client ID must not end it, nor take what waits in it.
    if (packet.clientId !== '') packet.clientId = `${ownerOf(identity)}/${packet.clientId}`;
    if (identity.kind === 'device') latest.set(identity.serial_no, identity.certificate);
    done(null, true);
  };
  aedes.authenticate = (client, _name, _password, done) => {
    const identity = of(client);
    const isRevoked = identity?.kind === 'device' && revoked.has(identity.certificate);
    // Said in the CONNACK: a device that is told so need not guess.
    const refusal = Object.assign(new Error('the certificate is revoked'), { returnCode: NOT_AUTHORIZED });
    done(isRevoked ? refusal : null, !isRevoked);
  };
  aedes.authorizePublish = (client, packet, done) => {
    const identity = of(client);
    if (identity !== undefined && mayPublish(identity, packet.topic)) {
      // Nothing is kept for later subscribers: what a device said once, a bridge must not hear again each time it comes.
      packet.retain = false;
      // In a turn of its own: one that overtakes another on its way makes Aedes take that one for a duplicate.
      if (packet.qos === 0) return void setImmediate(done, null);
      if (packet.qos === 2) return done(null);
      // At QoS 1 Aedes acknowledges first and publishes then; at QoS 2 the other way round.
      sessions.accept(packet).then(() => done(null), done);
      return;
    }
    done(new Error(`not allowed to publish to ${packet.topic}`));
  };
  aedes.authorizeSubscribe = (client, subscription, done) => {
    const identity = of(client);
    done(null, identity !== undefined && maySubscribe(identity, subscription.topic) ? subscription : null);
  };
  aedes.authorizeForward = (client, packet) => {
    const identity = of(client);
    // Aedes forgets to lower it to the subscription's where that has wildcards.
    const atMost = { ...packet, qos: packet.qos === 0 ? (0 as const) : (1 as const) };
    return identity !== undefined && mayReceive(identity, packet.topic) ? atMost : null;
  };
  aedes.on('subscribe', (_subscriptions, client) => {
    bridged ||= of(client)?.kind === 'bridge';
  });
  aedes.on('clientError', (_client, error) => log('broker', 'warn', error.message));
  aedes.on('connectionError', (_client, error) => log('broker', 'warn', error.message));
  aedes.on('publish', (packet: AedesPublishPacket, client: Client | null) => {
    const serial = DISCONNECT.exec(packet.topic)?.[1];
    if (serial === undefined || of(client)?.kind !== 'bridge') return;
    end(serial);
    sessions.end(`${ownerOf({ kind: 'device', serial_no: serial })}/`).catch((error: unknown) => {
      log('broker', 'warn', `the sessions of ${serial} were not ended: ${String(error)}`);
    });
    // A device that is not connected now has its certificate on the list, and must not come back meanwhile.
    void readCrl();
  });

  /** Ends a device's sessions, and remembers its certificate, also where it is not connected now. */
  function end(serial: string): void {
    const certificate = latest.get(serial);
    if (certificate !== undefined) revoked.add(certificate);
    for (const client of connected()) {
      const identity = of(client);
      if (identity?.kind !== 'device' || identity.serial_no !== serial) continue;
      revoked.add(identity.certificate);
      client.close();
    }
  }
  const connected = (): Client[] =>
    Object.values((aedes as unknown as { clients: Record<string, Client> }).clients);

  const readCrl = async () => {
    if (options.crlUrl === undefined) return;
    try {
      const response = await fetch(options.crlUrl, { signal: AbortSignal.timeout(10_000) });
      const crl = new x509.X509Crl(await response.text());
      for (const entry of crl.entries) revoked.add(normal(entry.serialNumber));
      for (const client of connected()) {
        const identity = of(client);
        if (identity?.kind === 'device' && revoked.has(identity.certificate)) client.close();
      }
    } catch (error) {
      log('broker', 'warn', `no revocation list: ${String(error)}`);
    }
  };
  const timer = setInterval(readCrl, CRL_EVERY_MS);
  await readCrl();

  const server = createServer(
    {
      ca: options.ca,
      cert: options.cert,
      key: options.key,
      minVersion: 'TLSv1.3',
      requestCert: true,
      rejectUnauthorized: true,
    },
    (socket) => aedes.handle(socket),
  );
  server.on('tlsClientError', (error) => log('broker', 'warn', `TLS: ${error.message}`));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    async close() {
      clearInterval(timer);
      const closed = new Promise((resolve) => server.close(resolve));
      await new Promise<void>((resolve) => aedes.close(resolve));
      await closed;
      await sessions.destroy();
    },
  };
}

function identityOf(socket: TLSSocket): Identity | undefined {
  const { subject, serialNumber } = socket.getPeerCertificate();
  if (subject?.OU === BRIDGE_UNIT) return { kind: 'bridge' };
  const serial = serialNo.safeParse(subject?.CN);
  if (!serial.success || Object.keys(subject).length !== 1) return undefined;
  return { kind: 'device', serial_no: serial.data, certificate: normal(serialNumber) };
}

/** Certificate serial numbers are written with and without leading zeros, in either case. */
const normal = (hex: string): string => hex.toLowerCase().replace(/^0+/, '');

const ownerOf = (identity: { kind: 'bridge' } | { kind: 'device'; serial_no: string }): string =>
  identity.kind === 'bridge' ? 'bridge' : `device/${identity.serial_no}`;

function mayPublish(identity: Identity, topic: string): boolean {
  if (identity.kind === 'bridge') return /^devices\/[^/+#]+\/command$/.test(topic) || DISCONNECT.test(topic);
  return UP_CHANNELS.some((channel) => topic === `devices/${identity.serial_no}/${channel}`);
}

function maySubscribe(identity: Identity, filter: string): boolean {
  if (identity.kind === 'device') return filter === `devices/${identity.serial_no}/command`;
  const plain = filter.replace(/^\$share\/[^/]+\//, '');
  return UP_CHANNELS.some((channel) => plain === `devices/+/${channel}`);
}

function mayReceive(identity: Identity, topic: string): boolean {
  if (identity.kind === 'device') return topic === `devices/${identity.serial_no}/command`;
  return UP_CHANNELS.some((channel) => topic.startsWith('devices/') && topic.endsWith(`/${channel}`));
}

/** The options a broker process is started with. */
export function brokerOptions(env: NodeJS.ProcessEnv): BrokerOptions {
  const file = (name: string) => readFileSync(env[name] ?? '', 'utf8');
  return {
    port: Number(env.MQTT_PORT ?? 0),
    ca: file('CA_FILE'),
    cert: file('CERT_FILE'),
    key: file('KEY_FILE'),
    ...(env.CRL_URL === undefined ? {} : { crlUrl: env.CRL_URL }),
    ...(env.SESSIONS_FILE === undefined ? {} : { sessionsFile: env.SESSIONS_FILE }),
  };
}
