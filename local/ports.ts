/** Ports on the loopback interface. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { StartError } from './data.ts';

/** Below the range from which systems give ports to outgoing connections: one of those cannot take it meanwhile. */
const [FROM, TO] = [20_000, 32_000];
const TRIES = 50;

/** The port, checked to be free; 0 finds one. Throws {@link StartError} where it is taken. */
export async function freePort(port = 0, flag = '--port'): Promise<number> {
  if (port !== 0) {
    const problem = await bindable(port);
    if (problem === undefined) return port;
    const why = problem === 'EADDRINUSE' ? 'is in use' : `cannot be used (${problem})`;
    throw new StartError(`port ${port} ${why}: free it, or choose another with ${flag} N (0 = any)`);
  }
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const candidate = randomInt(FROM, TO);
    if ((await bindable(candidate)) === undefined) return candidate;
  }
  throw new StartError(`found no free port between ${FROM} and ${TO} in ${TRIES} tries`);
}

/** Why a port cannot be listened on, if it cannot. */
function bindable(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(undefined)));
  });
}
