/** What the bridge counts, and its face to a monitor: `/health` and `/metrics`. */

import { once } from 'node:events';
import { createServer } from 'node:http';

export interface Counters {
  received: number;
  batches: number;
  retries: number;
  published: number;
  refused: number;
}

export const newCounters = (): Counters => ({
  received: 0,
  batches: 0,
  retries: 0,
  published: 0,
  refused: 0,
});

export interface Status {
  mqtt: boolean;
  link: boolean;
  /** Messages not acknowledged yet. */
  window: number;
}

const HELP: Record<keyof Counters, string> = {
  received: 'Messages received from the broker',
  batches: 'Batches answered by the edge',
  retries: 'Batches sent again',
  published: 'Commands the broker has acknowledged',
  refused: 'Messages given up because the edge refuses them for ever',
};

/** The Prometheus text format. Nothing is ever dropped; the counter is there to say so. */
export function renderMetrics(counters: Counters, status: Status): string {
  const gauge = (name: string, help: string, value: number) =>
    `# HELP skylark_bridge_${name} ${help}\n# TYPE skylark_bridge_${name} gauge\nskylark_bridge_${name} ${value}\n`;
  const counted = (Object.keys(HELP) as (keyof Counters)[]).map(
    (name) =>
      `# HELP skylark_bridge_${name}_total ${HELP[name]}\n# TYPE skylark_bridge_${name}_total counter\nskylark_bridge_${name}_total ${counters[name]}\n`,
  );
  return [
    ...counted,
    '# HELP skylark_bridge_dropped_total Messages lost\n# TYPE skylark_bridge_dropped_total counter\nskylark_bridge_dropped_total 0\n',
    gauge('connected', 'Connected to the broker', Number(status.mqtt)),
    gauge('link_connected', 'Connected to the edge for commands', Number(status.link)),
    gauge('window', 'Messages not acknowledged yet', status.window),
  ].join('');
}

/** Serves `/health` and `/metrics`. */
export async function serveHealth(
  host: string,
  port: number,
  counters: Counters,
  look: () => Status,
): Promise<{ port: number; close(): void }> {
  const server = createServer((request, response) => {
    const status = look();
    if (request.url === '/metrics') {
      response
        .writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' })
        .end(renderMetrics(counters, status));
    } else if (request.url === '/health') {
      const up = status.mqtt && status.link;
      response
        .writeHead(up ? 200 : 503, { 'Content-Type': 'application/json' })
        .end(JSON.stringify({ status: up ? 'ok' : 'down', ...status }));
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
