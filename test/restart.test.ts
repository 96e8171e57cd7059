import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Facts } from '../local/platform.ts';
import { publishFirmware } from './publish.ts';
import { call, eventually, type Skylark } from './skylark.ts';

const START = new URL('../local/start.ts', import.meta.url).pathname;
const directory = mkdtempSync(join(tmpdir(), 'skylark-restart-'));
let child: ChildProcess | undefined;
let exited: Promise<unknown> = Promise.resolve();

async function start(name: string): Promise<Pick<Skylark, 'facts' | 'api'>> {
  child = spawn(
    process.execPath,
    [START, '--json', '--port', '0', '--mqtt-port', '0', '--devices', '6', '--data', join(directory, name)],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  exited = once(child, 'exit');
  let out = '';
  child.stdout?.on('data', (chunk) => {
    out += chunk;
  });
  const facts: Facts = JSON.parse(
    await eventually('everything to be up', async () => out.includes('\n') && out, 120_000),
  );
  return { facts, api: (method, path, body) => call(facts.url, facts.api_key, method, path, body) };
}

describe('a start', () => {
  afterAll(async () => {
    child?.kill('SIGINT');
    await exited;
  });

  it('leaves out a virtual device that was revoked before, and nothing else', async () => {
    const before = await start('revoked');
    expect((await before.api('POST', '/devices/VD-0003/revoke')).status).toBe(200);
    child?.kill('SIGINT');
    await exited;
    const after = await start('revoked');
    const online = async () => {
      const { items } = (await after.api('GET', '/devices?status=online')).body;
      return (items as { serial_no: string }[]).filter(({ serial_no }) => serial_no !== 'VD-0003').length;
    };
    await eventually('the other five to be online', async () => (await online()) === 5);
  });
});

describe('everything killed at once, in the middle of a campaign', () => {
  afterAll(async () => {
    child?.kill('SIGINT');
    await exited;
    rmSync(directory, { recursive: true, force: true });
  });

  it('goes on from where it was, and every device ends', async () => {
    const before = await start('killed');
    const firmware = await publishFirmware(before, 'v1.1.0', { size: 3_000_000 });
    const stages = [{ name: 'all', percentage: 100 }];
    const { body } = await before.api('POST', '/campaigns', {
      name: 'killed',
      firmware_id: firmware.id,
      stages,
      rate_per_minute: 60,
    });
    await before.api('POST', `/campaigns/${body.id}/start`);
    await eventually('the first device to complete', async () => {
      const { counts } = (await before.api('GET', `/campaigns/${body.id}/metrics`)).body as {
        counts: { completed: number };
      };
      return counts.completed >= 2;
    });
    child?.kill('SIGKILL');
    await exited;

    const after = await start('killed');
    expect((await after.api('GET', `/campaigns/${body.id}`)).body.status).not.toBe('completed');
    await eventually(
      'the campaign to complete',
      async () => (await after.api('GET', `/campaigns/${body.id}`)).body.status === 'completed',
      90_000,
    );
    const { items } = (await after.api('GET', '/devices')).body as { items: { current_firmware: string }[] };
    expect(items.map((d) => d.current_firmware)).toEqual(Array(6).fill('v1.1.0'));
  });
});
