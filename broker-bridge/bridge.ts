/** The bridge: MQTT on one side, the edge on the other, and no acknowledgement before what it promises is true. */
import { Broker } from './broker.ts';
import { tlsFiles } from './broker-address.ts';
import { CommandLink } from './command-link.ts';
import type { Configuration } from './configuration.ts';
import { newCounters, type Status } from './counters.ts';
import { EdgeSender } from './edge-sender.ts';
import { missing, serveHealth } from './health.ts';
import { Intake } from './intake.ts';
import { Lease } from './lease.ts';
import { log } from './log.ts';

/** How long what is held may take to reach the edge when the bridge ends. */
const DRAIN_MS = 5_000;
/** While a side is not connected, this often a line says so. */
const REMIND_MS = 15_000;

export interface Bridge {
  healthPort: number;
  /** Resolves when both sides are connected for the first time; never, if they never are. */
  ready: Promise<void>;
  /** Reads no more, delivers what it holds (5 s at most; the rest stays with the broker), disconnects. */
  close(): Promise<void>;
}

/** Starts the bridge. Throws if a file cannot be read or the health port is taken. */
export async function startBridge(config: Configuration): Promise<Bridge> {
  tlsFiles(config);
  const edge = { url: config.EDGE_URL, token: config.BRIDGE_TOKEN, bridgeId: config.BRIDGE_ID };
  const counters = newCounters();
  const stopping = new AbortController();
  const ready = Promise.withResolvers<void>();
  const sender = new EdgeSender(edge, counters);
  const intake = new Intake(
    (batch) => sender.send(batch, stopping.signal),
    counters,
    () => broker.settled(),
  );
  const link = new CommandLink(edge, {
    async publish(...message) {
      await broker.publish(...message);
      counters.published += 1;
    },
    failed: () => {
      counters.unpublished += 1;
    },
    changed: (connected) => {
      log('info', connected ? 'command link up' : 'command link down');
      if (connected) ready.resolve();
    },
  });
  const broker = new Broker(config, {
    take: (topic, payload, held) => intake.take(topic, payload, held),
    changed: (connected) => {
      if (connected) link.open();
      else link.close();
      lease.renew();
    },
  });
  const look = () => statusOf(broker, link, sender);
  const health = await serveHealth(config.HEALTH_HOST, config.HEALTH_PORT, counters, look);
  broker.open();
  const startedAt = new Date().toISOString();
  const lease = new Lease(edge, () => ({
    mqtt: broker.mqtt,
    started_at: startedAt,
    window: look().window,
    lag_s: look().lagSeconds,
    delivered: counters.delivered,
  }));
  const remind = setInterval(() => {
    const down = missing(look());
    if (down.length > 0) log('warn', `not connected: ${down.join(', ')}`);
  }, REMIND_MS);

  return {
    healthPort: health.port,
    ready: ready.promise,
    async close() {
      clearInterval(remind);
      broker.hush();
      link.close();
      const late = setTimeout(() => stopping.abort(), DRAIN_MS);
      await intake.drain();
      clearTimeout(late);
      await broker.close();
      await lease.end();
      await sender.close();
      health.close();
    },
  };
}

function statusOf(broker: Broker, link: CommandLink, sender: EdgeSender): Status {
  const { messages, bytes, oldest } = broker.held;
  return {
    mqtt: broker.connected,
    link: link.connected,
    edge: sender.reachable,
    window: messages,
    windowBytes: bytes,
    lagSeconds: oldest === undefined ? 0 : Math.max(0, Date.now() - oldest) / 1000,
  };
}
