/** What the bridge counts, and how a monitor reads it (Prometheus text format 0.0.4). */
import type { Place } from './batcher.ts';

export interface Counters {
  /** Messages from the broker, by channel. */
  received: Record<Place['channel'], number>;
  /** Heartbeats for which a newer one was sent. */
  superseded: number;
  /** Batches made durable, and the messages in them. */
  batches: number;
  delivered: number;
  /** Of these, those the edge could not take, and keeps with the reason. */
  rejected: number;
  failures: number;
  retries: number;
  refused: number;
  published: number;
  unpublished: number;
}

export const newCounters = (): Counters => ({
  received: { heartbeat: 0, status: 0, notify: 0, other: 0 },
  superseded: 0,
  batches: 0,
  delivered: 0,
  rejected: 0,
  failures: 0,
  retries: 0,
  refused: 0,
  published: 0,
  unpublished: 0,
});

/** How the bridge is now. */
export interface Status {
  mqtt: boolean;
  link: boolean;
  edge: boolean;
  /** Messages held, not acknowledged yet, and the length of their payloads. */
  window: number;
  windowBytes: number;
  /** Age of the oldest of them. */
  lagSeconds: number;
}

/** Everything as Prometheus text. */
export function renderMetrics(counters: Counters, status: Status): string {
  const metrics = [
    family('received_total', 'counter', 'Messages received from the broker', [
      ...Object.entries(counters.received).map(([channel, n]) => [`{channel="${channel}"}`, n] as const),
    ]),
    counter('superseded', 'Heartbeats for which a newer one of the device was sent', counters.superseded),
    family('batch_messages', 'summary', 'Messages per batch the edge has made durable', [
      ['_sum', counters.delivered],
      ['_count', counters.batches],
    ]),
    counter('rejected', 'Messages the edge has put aside with a reason', counters.rejected),
    counter('batch_failures', 'Attempts to deliver a batch that failed', counters.failures),
    counter('retries', 'Batches sent again', counters.retries),
    counter('refused', 'Messages given up because the edge refuses them for ever', counters.refused),
    // There is no path on which the bridge drops one; the counter is there to say so.
    counter('dropped', 'Messages lost', 0),
    counter('published', 'Commands the broker has acknowledged', counters.published),
    counter('publish_failures', 'Commands the broker has not taken', counters.unpublished),
    gauge('connected', 'Connected to the broker', Number(status.mqtt)),
    gauge('link_connected', 'Connected to the edge for commands', Number(status.link)),
    gauge('edge_up', 'The edge took the last batch', Number(status.edge)),
    gauge('window', 'Messages held: not durable, so not acknowledged', status.window),
    gauge('window_bytes', 'Length of their payloads', status.windowBytes),
    gauge('lag_seconds', 'Age of the oldest of them', status.lagSeconds),
    gauge('memory_bytes', 'Resident memory of the process', process.memoryUsage.rss()),
  ];
  return metrics.join('');
}

type Sample = readonly [suffix: string, value: number];

function family(name: string, type: string, help: string, samples: readonly Sample[]): string {
  const full = `skylark_bridge_${name}`;
  const lines = samples.map(([suffix, value]) => `${full}${suffix} ${value}\n`);
  return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines.join('')}`;
}

const counter = (name: string, help: string, value: number) =>
  family(`${name}_total`, 'counter', help, [['', value]]);
const gauge = (name: string, help: string, value: number) => family(name, 'gauge', help, [['', value]]);
