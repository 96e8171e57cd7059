/** What both wire shims need of HTTP. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { log } from './part-process.ts';

export interface Wire {
  url: string;
  close(): Promise<void>;
}

/** An answer of a shim; a thrown error becomes a 500 and is logged. */
export interface Answer {
  status: number;
  body: unknown;
}

export const json = (status: number, body: unknown): Answer => ({ status, body });

/** Loudly: what a driver sends and a shim does not know must never pass for an empty result. */
export function unknown(what: string): Answer {
  log('wire', 'error', `not implemented by the local shim: ${what}`);
  return json(501, {
    error: `not implemented by the local shim: ${what}`,
    message: `not implemented: ${what}`,
  });
}

/** Serves on a free port of the loopback interface. */
export function serveWire(
  handle: (request: IncomingMessage, body: string) => Promise<Answer>,
): Promise<Wire> {
  const server = createServer((request, response) => {
    respond(request, response, handle).catch((error: unknown) => {
      log('wire', 'error', String(error));
      response.destroy();
    });
  });
  server.keepAliveTimeout = 60_000;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const close = () =>
        new Promise<void>((done) => {
          server.close(() => done());
          server.closeAllConnections();
        });
      resolve({ url: `http://127.0.0.1:${port}`, close });
    });
  });
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  handle: (request: IncomingMessage, body: string) => Promise<Answer>,
): Promise<void> {
  const body = (await buffer(request)).toString();
  const { status, body: answer } = await handle(request, body);
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(answer));
}
