/** `npm run demo`: the main job, played on the real parts and told as it happens. Exit code 0 only if all went as it should. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { z } from 'zod';
import { ApiClient } from '../cli/api-client.ts';
import { bar, table } from '../cli/output.ts';
import { virtualSerial } from '../device/fleet.ts';
import { type CampaignMetrics, campaign, campaignMetrics, firmware } from '../protocol/api.ts';
import { hash32 } from '../protocol/shards.ts';
import { StartError } from './data.ts';
import { type DeviceEvent, type Facts, type Platform, startPlatform } from './platform.ts';

const DEVICES = 12;
const SIZE = 5 * 1024 * 1024;
const OLD = 'v1.0.0';
const NEW = 'v1.1.0';
const CAMPAIGN_MS = 120_000;
const CLI = new URL('../cli/skylark.ts', import.meta.url).pathname;

/** In the order in which a campaign takes them: a stage is a run of this list. */
const inOrder = Array.from({ length: DEVICES }, (_, i) => virtualSerial(i + 1)).sort(
  (a, b) => hash32(a) - hash32(b),
);
const [cut, broken] = [inOrder[2] ?? '', inOrder[DEVICES - 2] ?? ''];

const say = (line: string) => process.stdout.write(`${line}\n`);
const heading = (line: string) => say(`\n${line}`);

/** Runs the CLI as CI would; answers what it printed as JSON. */
async function skylark(facts: Facts, ...args: string[]): Promise<unknown> {
  say(`  $ skylark ${args.map((arg) => (arg.includes(' ') ? `'${arg}'` : arg)).join(' ')}`);
  const child = spawn(process.execPath, [CLI, ...args, '--json'], {
    env: {
      PATH: process.env.PATH,
      SKYLARK_URL: facts.url,
      SKYLARK_API_KEY: facts.api_key,
      SKYLARK_RELEASE_KEY: facts.release_key,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  if (code !== 0) throw new StartError(`skylark ${args[0]} ${args[1]} failed: ${err.trim()}`);
  return JSON.parse(out);
}

const seen = { dropped: false, resumed: false };

/** One line for each event worth reading. */
function tell({ event, serial_no, detail }: DeviceEvent): void {
  const percent = `${String(detail.percent)} %`;
  if (event === 'connection_dropped') seen.dropped = true;
  if (event === 'resumed') seen.resumed = true;
  const words: Record<string, string | undefined> = {
    download_started: `downloads ${NEW}`,
    connection_dropped: `loses its connection at ${percent} of the download`,
    resumed: `goes on from ${percent}`,
    verified: 'has verified length, checksum and signatures',
    rebooting: 'has written its other slot and restarts',
    committed: `runs ${NEW}`,
    boot_failed: `${NEW} does not pass the boot check`,
    rolled_back: `is back on ${OLD}, by itself`,
    failed: `failed: ${String(detail.error)}`,
  };
  const text = words[event];
  if (text !== undefined) say(`    ${serial_no}  ${text}`);
}

function stageLine({ stages, stage, counts }: CampaignMetrics): string {
  const here = stages[stage.index];
  const done = here === undefined ? 0 : here.counts.completed + here.counts.failed + here.counts.rollback;
  const all = here?.target ?? 0;
  const trouble = counts.rollback + counts.failed;
  return `  stage ${stage.index + 1} of ${stages.length} (${stage.name}) ${bar(all === 0 ? 0 : done / all)} ${done} of ${all}${trouble > 0 ? `, ${trouble} rolled back` : ''}`;
}

async function runCampaign(facts: Facts, firmwareId: string): Promise<string> {
  const api = new ApiClient(facts.url, facts.api_key);
  const made = campaign.parse(
    await skylark(
      facts,
      ...['campaign', 'create', `TX-100 to ${NEW}`, '--firmware', firmwareId, '--stages', '10,50,100'],
      ...['--success-threshold', '80', '--failure-threshold', '20', '--start'],
    ),
  );
  say(`  watch it: ${facts.url}/campaigns/${made.id}`);
  const end = Date.now() + CAMPAIGN_MS;
  for (let told = ''; ; ) {
    const metrics = await api.get(`/campaigns/${made.id}/metrics`, campaignMetrics);
    const line = stageLine(metrics);
    if (line !== told) say(line);
    told = line;
    const now = await api.get(`/campaigns/${made.id}`, campaign);
    if (now.status === 'completed') return made.id;
    if (now.status !== 'active') throw new StartError(`the campaign is ${now.status}: ${now.status_reason}`);
    if (Date.now() > end)
      throw new StartError(`the campaign was not over within ${CAMPAIGN_MS / 1000} s: ${now.status_reason}`);
    await wait(250);
  }
}

const row = z.object({
  serial_no: z.string(),
  current_firmware: z.string().nullable(),
  update: z.string(),
  error: z.string().nullable(),
  stage: z.int(),
});

/** Every device's end, as PostgreSQL has it, against what it should be. */
async function check(facts: Facts, campaignId: string): Promise<boolean> {
  const client = new Client({ connectionString: facts.database_url });
  await client.connect();
  const { rows } = await client.query(
    `SELECT d.serial_no, d.current_firmware, m.status::text AS update, m.error, m.stage
     FROM devices d JOIN campaign_devices m ON m.serial_no = d.serial_no AND m.campaign_id = $1
     ORDER BY m.stage, d.serial_no`,
    [campaignId],
  );
  await client.end();
  const found = z.array(row).parse(rows);
  const judged = found.map((r) => {
    const wanted =
      r.serial_no === broken ? { update: 'rollback', version: OLD } : { update: 'completed', version: NEW };
    return { ...r, ok: r.update === wanted.update && r.current_firmware === wanted.version };
  });
  say(
    table(
      ['DEVICE', 'STAGE', 'UPDATE', 'RUNS', 'AS IT SHOULD'],
      judged.map((r) => [
        r.serial_no,
        String(r.stage + 1),
        r.error === null ? r.update : `${r.update} (${r.error})`,
        r.current_firmware ?? '-',
        r.ok ? 'yes' : 'NO',
      ]),
    ),
  );
  if (!(seen.dropped && seen.resumed)) say(`  NO: ${cut} should have lost its connection and gone on`);
  return judged.length === DEVICES && judged.every((r) => r.ok) && seen.dropped && seen.resumed;
}

async function play(platform: Platform, directory: string): Promise<boolean> {
  const { facts } = platform;
  platform.onDeviceEvent(tell);
  heading('2. CI uploads a firmware and signs it with the release key');
  const file = join(directory, `TX-100-${NEW}.bin`);
  writeFileSync(file, randomBytes(SIZE));
  const uploaded = firmware.parse(
    await skylark(facts, 'firmware', 'upload', file, '--version', NEW, '--model', 'TX-100'),
  );
  say(
    `  ${uploaded.model}/${uploaded.version} is ${uploaded.state}: ${uploaded.size_bytes} bytes, ${uploaded.checksum.slice(0, 23)}…`,
  );
  heading('3. A campaign takes it to the fleet, in stages of 10 %, 50 % and 100 %');
  say(`  planted: ${cut} will lose its connection in mid-download, ${broken} will not boot ${NEW}`);
  const id = await Promise.race([runCampaign(facts, uploaded.id), failOn(platform.died)]);
  heading('4. How every device ended, as PostgreSQL has it');
  return check(facts, id);
}

async function failOn(died: Promise<string>): Promise<never> {
  throw new StartError(await died);
}

async function main(): Promise<number> {
  const started = Date.now();
  const directory = mkdtempSync(join(tmpdir(), 'skylark-demo-'));
  let platform: Platform | undefined;
  const stop = async () => {
    await platform?.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void stop().then(() => process.exit(130)));
  }
  try {
    heading(`1. Everything starts: database, cache, edge, broker, bridge, ${DEVICES} devices on ${OLD}`);
    platform = await startPlatform({
      port: 0,
      mqttPort: 0,
      devices: DEVICES,
      data: join(directory, 'data'),
      fresh: false,
      progress: (line) => say(`  ${line}`),
      faults: { [cut]: { drop_download_at: 0.5 }, [broken]: { fail_boot_of: [NEW] } },
    });
    say(`  sign in: ${platform.facts.url}  ${platform.facts.admin.email}  ${platform.facts.admin.password}`);
    const ok = await play(platform, directory);
    heading(
      ok
        ? `Every device ended as it should, after ${Math.round((Date.now() - started) / 1000)} s.`
        : 'Not every device ended as it should.',
    );
    return ok ? 0 : 1;
  } finally {
    await stop();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`skylark: ${error instanceof StartError ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
