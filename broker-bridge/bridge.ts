/** The bridge: MQTT on one side, the edge on the other, and no acknowledgement before what it promises is true. */
import { readFileSync } from 'node:fs';
import { connect as connectPlain, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type IClientOptions, MqttClient } from 'mqtt';
import { UP_CHANNELS } from '../protocol/topics.ts';
import { AckWindow } from './ack-window.ts';
import { type Batch, Batcher, type Lane } from './batcher.ts';
import { CommandLink } from './command-link.ts';
import type { Configuration } from './configuration.ts';
import { newCounters, serveHealth } from './counters.ts';
import { EdgeSender } from './edge-sender.ts';
import { HeldSocket } from './held-socket.ts';
import { log } from './log.ts';

/** How long a lane collects before it sends. */
const COLLECT_MS: Record<Lane, number> = { urgent: 10, heartbeat: 250 };
const CLOSE_MS = 5_000;

export interface Bridge {
  healthPort: number;
  close(): Promise<void>;
}

/** Starts the bridge; resolves when both sides are connected. */
export async function startBridge(config: Configuration): Promise<Bridge> {
  const edge = { url: config.EDGE_URL, token: config.BRIDGE_TOKEN, bridgeId: config.BRIDGE_ID };
  const counters = newCounters();
  const sender = new EdgeSender(edge, counters);
  const batcher = new Batcher();
  const stopping = new AbortController();
  const underway = new Set<Promise<void>>();
  const timers = new Map<Lane, NodeJS.Timeout>();
  let socket: HeldSocket | undefined;
  let window = new AckWindow(() => undefined);

  const open = () => {
    const fresh = openSocket(config);
    const own = new AckWindow((ids) => {
      // A packet id means nothing on any other connection than its own.
      fresh.acknowledge(ids);
      fresh.gate(own.size >= config.WINDOW);
    });
    [socket, window] = [fresh, own];
    return fresh;
  };
  const client = new MqttClient(open, clientOptions(config));

  const send = (batch: Batch) => {
    const into = window;
    const work = sender
      .send(batch, stopping.signal)
      .then(() => into.settle(batch.messages.flatMap((m) => m.held)))
      .catch((error: unknown) => {
        if (!stopping.signal.aborted) log('error', String(error));
      })
      .finally(() => underway.delete(work));
    underway.add(work);
  };
  const flush = (lane: Lane) => {
    timers.delete(lane);
    for (const batch of batcher.takeAll(lane)) send(batch);
  };

  client.on('message', (topic, payload, packet) => {
    counters.received += 1;
    if (packet.messageId === undefined) return;
    const held = window.hold(packet.messageId);
    const full = batcher.add(topic, payload, Date.now(), held);
    if (full !== undefined) send(full);
    const lane: Lane = topic.endsWith('/heartbeat') ? 'heartbeat' : 'urgent';
    if (!timers.has(lane)) timers.set(lane, setTimeout(flush, COLLECT_MS[lane], lane));
    if (window.size >= config.WINDOW) socket?.gate(true);
  });
  client.on('error', (error) => log('warn', `MQTT: ${error.message}`));
  client.on('close', () => {
    // What is open now belongs to a connection that is gone: it comes again, and is then known already.
    for (const lane of ['urgent', 'heartbeat'] as const) flush(lane);
  });

  await subscribed(client, config);
  const link = await new Promise<CommandLink>((resolve) => {
    const made: CommandLink = new CommandLink(edge, {
      async publish(topic, payload) {
        await client.publishAsync(topic, payload, { qos: 1 });
        counters.published += 1;
      },
      changed: (connected) => {
        log('info', connected ? 'command link up' : 'command link down');
        if (connected) resolve(made);
      },
    });
  });
  const look = () => ({ mqtt: client.connected, link: link.connected, window: window.size });
  const health = await serveHealth(config.HEALTH_HOST, config.HEALTH_PORT, counters, look);

  return {
    healthPort: health.port,
    async close() {
      link.close();
      health.close();
      for (const lane of ['urgent', 'heartbeat'] as const) flush(lane);
      const late = setTimeout(() => stopping.abort(), CLOSE_MS);
      await Promise.all(underway);
      clearTimeout(late);
      await client.endAsync();
    },
  };
}

/** Subscribes; with MQTT 5 several bridges share the messages. Again on every new connection. */
function subscribed(client: MqttClient, config: Configuration): Promise<void> {
  const prefix = config.MQTT_VERSION === 5 ? '$share/skylark/' : '';
  const topics = UP_CHANNELS.map((channel) => `${prefix}devices/+/${channel}`);
  return new Promise((resolve, reject) => {
    client.on('connect', () => {
      client.subscribe(topics, { qos: 1 }, (error, granted) => {
        const refused = granted?.find(({ qos }) => qos > 2);
        if (error !== null) reject(new Error(`the broker did not take the subscription: ${error.message}`));
        else if (refused !== undefined)
          reject(new Error(`the broker refused the subscription to ${refused.topic}`));
        else resolve();
      });
    });
  });
}

function clientOptions(config: Configuration): IClientOptions {
  return {
    clientId: config.BRIDGE_ID,
    clean: false,
    protocolVersion: config.MQTT_VERSION,
    keepalive: 30,
    reconnectPeriod: 1000,
    resubscribe: false,
    ...(config.MQTT_USERNAME === undefined ? {} : { username: config.MQTT_USERNAME }),
    ...(config.MQTT_PASSWORD === undefined ? {} : { password: config.MQTT_PASSWORD }),
    ...(config.MQTT_VERSION === 5
      ? { properties: { receiveMaximum: Math.min(65_535, config.WINDOW), sessionExpiryInterval: 86_400 } }
      : {}),
  };
}

function openSocket(config: Configuration): HeldSocket {
  const { hostname: host, protocol, port } = new URL(config.MQTT_URL);
  const tls = protocol === 'mqtts:' || protocol === 'ssl:' || protocol === 'tls:';
  if (!tls) return new HeldSocket(connectPlain(Number(port || 1883), host));
  const file = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path));
  return new HeldSocket(
    connectTls({
      host,
      port: Number(port || 8883),
      ca: file(config.MQTT_CA_FILE),
      cert: file(config.MQTT_CERT_FILE),
      key: file(config.MQTT_KEY_FILE),
      minVersion: 'TLSv1.2',
      ...(isIP(host) === 0 ? { servername: host } : {}),
    }),
  );
}
