/** The bridge's face to a monitor: `/health` and `/metrics`. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type Counters, renderMetrics, type Status } from './counters.ts';

export interface Health {
  port: number;
  close(): void;
}

/** Serves it. Rejects if the port is taken. */
export async function serveHealth(
  host: string,
  port: number,
  counters: Counters,
  look: () => Status,
): Promise<Health> {
  const server = createServer((request, response) => {
    const status = look();
    if (request.url === '/metrics') {
      response
        .writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' })
        .end(renderMetrics(counters, status));
    } else if (request.url === '/health') {
      const down = missing(status);
      const body = down.length === 0 ? { status: 'ok' } : { status: 'down', down };
      response
        .writeHead(down.length === 0 ? 200 : 503, { 'Content-Type': 'application/json' })
        .end(JSON.stringify(body));
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new Error(`HEALTH_PORT ${port}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** What is not connected. */
export function missing({ mqtt, link }: Status): string[] {
  return [...(mqtt ? [] : ['mqtt']), ...(link ? [] : ['link'])];
}
