import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { isAlive } from '../local/data.ts';
import { call, eventually } from './skylark.ts';

const START = new URL('../local/start.ts', import.meta.url).pathname;
const ready = z.object({
  ready: z.literal(true),
  url: z.url(),
  admin: z.object({ email: z.string(), password: z.string() }),
  api_key: z.string(),
  mqtt: z.object({ url: z.string().startsWith('mqtts://'), ca_file: z.string() }),
  database_url: z.string().startsWith('postgres://'),
  bridge_token: z.string(),
  release_key: z.string(),
  pids: z.object({ worker: z.int(), bridge: z.int(), broker: z.int(), postgres: z.int(), redis: z.int() }),
});

interface Run {
  child: ChildProcess;
  out(): string;
  err(): string;
  exit: Promise<number | null>;
}

let directory: string;
const runs: Run[] = [];

function start(...args: string[]): Run {
  const child = spawn(process.execPath, [START, '--json', '--data', join(directory, 'data'), ...args]);
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const exit = once(child, 'close').then(([code]) => (typeof code === 'number' ? code : null));
  const run = { child, out: () => out, err: () => err, exit };
  runs.push(run);
  return run;
}

const quick = ['--port', '0', '--mqtt-port', '0', '--devices', '0'];
const facts = async (run: Run) =>
  ready.parse(
    JSON.parse(
      await eventually('the line of JSON', async () => run.out().includes('\n') && run.out(), 60_000),
    ),
  );
const words = (run: Run) =>
  run
    .err()
    .split('\n')
    .filter((line) => line.startsWith('skylark:'));

describe('npm start', () => {
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-start-'));
  });
  afterEach(async () => {
    for (const run of runs.splice(0)) {
      run.child.kill('SIGINT');
      await run.exit;
    }
    rmSync(directory, { recursive: true, force: true });
  });

  it('prints exactly one line of JSON, keeps what it knows over a restart, and leaves no process behind', async () => {
    const first = start(...quick);
    const before = await facts(first);
    expect(
      (await call(before.url, before.api_key, 'POST', '/devices/register', { serial_no: 'D1', model: 'M' }))
        .status,
    ).toBe(201);
    first.child.kill('SIGINT');
    expect(await first.exit).toBe(0);
    expect(first.out().trim().split('\n')).toHaveLength(1);
    expect(Object.entries(before.pids).filter(([, pid]) => isAlive(pid))).toEqual([]);

    const after = await facts(start(...quick));
    expect(after.api_key).toBe(before.api_key);
    expect((await call(after.url, after.api_key, 'GET', '/devices/D1')).body).toMatchObject({
      serial_no: 'D1',
    });
  });

  it('starts empty with --fresh', async () => {
    const first = start(...quick);
    const { api_key } = await facts(first);
    first.child.kill('SIGINT');
    await first.exit;
    expect((await facts(start(...quick, '--fresh'))).api_key).not.toBe(api_key);
  });

  it('says which port is in use, in one line, and exits with 1', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    for (const flag of ['--port', '--mqtt-port']) {
      const run = start(...quick, flag, String(port));
      expect(await run.exit).toBe(1);
      expect(words(run)).toEqual([expect.stringContaining(`port ${port} is in use`)]);
    }
    taken.close();
  });

  it('says what it does not understand, and exits with 1', async () => {
    for (const args of [['--nonsense'], ['--port', 'many'], ['--devices', '-1']]) {
      const run = start(...args);
      expect(await run.exit).toBe(1);
      expect(words(run)).toHaveLength(1);
    }
  });

  it('lets no second one at the same data', async () => {
    await facts(start(...quick));
    const second = start(...quick);
    expect(await second.exit).toBe(1);
    expect(words(second)).toEqual([expect.stringContaining('is in use by another Skylark')]);
  });

  it.each(['worker', 'bridge', 'broker', 'postgres', 'redis'] as const)(
    'says that the %s died, stops everything else, and exits with 1',
    async (part) => {
      const run = start(...quick);
      const { pids } = await facts(run);
      process.kill(pids[part], 'SIGKILL');
      expect(await run.exit).toBe(1);
      expect(words(run)).toEqual([expect.stringContaining('died')]);
      expect(Object.entries(pids).filter(([, pid]) => isAlive(pid))).toEqual([]);
    },
  );

  it('comes back after it was killed outright', async () => {
    const first = start(...quick);
    const { pids, url, api_key } = await facts(first);
    await call(url, api_key, 'POST', '/devices/register', { serial_no: 'D1', model: 'M' });
    first.child.kill('SIGKILL');
    await first.exit;
    const after = await facts(start(...quick));
    expect((await call(after.url, after.api_key, 'GET', '/devices/D1')).status).toBe(200);
    for (const pid of Object.values(pids))
      await eventually(`process ${pid} to be gone`, async () => !isAlive(pid));
  });
});
