/** Ports on the loopback interface. */
import { createServer } from 'node:net';
import { StartError } from './data.ts';

const TRIES = 5;

/** The port, checked to be free; 0 finds one. Throws {@link StartError} where it is taken. */
export function freePort(port = 0, flag = '--port'): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be used (${error.code})`;
      reject(new StartError(`port ${port} ${why}: free it, or choose another with ${flag} N (0 = any)`));
    });
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
    });
  });
}

/**
 * Starts something on any free port. Between finding a port and listening on it somebody else may take it: then
 * it is tried again with another.
 */
export async function onFreePort<Started>(start: (port: number) => Promise<Started>): Promise<Started> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(await freePort());
    } catch (error) {
      const taken = /EADDRINUSE|address (is )?already in use/i.test(String(error));
      if (!taken || attempt === TRIES) throw error;
    }
  }
}
