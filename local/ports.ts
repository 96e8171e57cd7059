/** Ports on the loopback interface. */
import { createServer } from 'node:net';
import { StartError } from './data.ts';

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
