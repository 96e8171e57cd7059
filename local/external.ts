/** Real parts in the place of local ones, named by environment variables. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { StartError } from './data.ts';

const PORTS: Record<string, number> = {
  'postgres:': 5432,
  'postgresql:': 5432,
  'redis:': 6379,
  'rediss:': 6379,
  'mqtt:': 1883,
  'mqtts:': 8883,
};
const ANSWER_MS = 10_000;

/** The address of a real part by its environment variable, else of the local one, which is started. */
export async function given(
  variable: string,
  say: (line: string) => void,
  start: () => Promise<string>,
): Promise<string> {
  const url = process.env[variable];
  if (url === undefined || url === '') return start();
  if (!URL.canParse(url)) throw new StartError(`${variable} is not a URL`);
  await mustAnswer(variable, new URL(url));
  say(`${variable} is set: using ${new URL(url).host}`);
  return url;
}

/** A real part that is not there is said at once, and not found out later. */
async function mustAnswer(variable: string, { protocol, hostname, port }: URL): Promise<void> {
  const socket = connect(
    port === '' ? (PORTS[protocol] ?? 0) : Number(port),
    hostname.replace(/^\[|\]$/g, ''),
  );
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(ANSWER_MS) });
  } catch (error) {
    throw new StartError(`${variable}: nothing answers at ${hostname}:${port} (${reason(error)})`);
  } finally {
    socket.destroy();
  }
}

/** Whether anything listens at a port of the loopback interface. */
export async function answersAt(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** The innermost message: drivers wrap what happened. */
export function reason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reason(error.errors[0]);
  if (error instanceof Error && error.cause !== undefined) return reason(error.cause);
  return error instanceof Error ? error.message : String(error);
}
