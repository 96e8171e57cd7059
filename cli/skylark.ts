/** `skylark`: for CI and operators. Exit code 0 done, 1 failed, 2 wrong usage. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { campaign, device, firmware } from '../protocol/api.ts';
import { ApiClient, CommandFailed, WrongUsage } from './api-client.ts';
import { findFirmware, parseStages, watch } from './campaign.ts';
import { checksumOf, publish, upload } from './firmware.ts';
import { say, table } from './output.ts';
import { generateKey, initRepository, openSigningKey, type SigningKey } from './tuf-keys.ts';

const program = new Command('skylark')
  .description('Over-the-air updates for IoT fleets.')
  .option('--url <url>', 'where Skylark is (SKYLARK_URL)')
  .option('--api-key <key>', 'an API key (SKYLARK_API_KEY)')
  .option('--release-key <file>', "the release key: a file's path, or the PEM itself (SKYLARK_RELEASE_KEY)")
  .option('--json', 'print JSON on stdout')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();

interface Globals {
  url?: string;
  apiKey?: string;
  releaseKey?: string;
  json?: boolean;
}

const globals = (): Globals => program.opts<Globals>();
const setting = (given: string | undefined, name: string) => given ?? (process.env[name] || undefined);

function api(): ApiClient {
  const { url: givenUrl, apiKey } = globals();
  const [url, key] = [setting(givenUrl, 'SKYLARK_URL'), setting(apiKey, 'SKYLARK_API_KEY')];
  if (url === undefined) throw new WrongUsage('say where Skylark is: --url or SKYLARK_URL');
  if (!URL.canParse(url)) throw new WrongUsage('--url is not a URL');
  if (key === undefined) throw new WrongUsage('an API key is needed: --api-key or SKYLARK_API_KEY');
  return new ApiClient(url, key);
}

async function releaseKey(): Promise<SigningKey | undefined> {
  const given = setting(globals().releaseKey, 'SKYLARK_RELEASE_KEY');
  if (given === undefined) return undefined;
  const pem = given.includes('-----BEGIN') ? given.replaceAll('\\n', '\n') : readText(given);
  try {
    return await openSigningKey(pem);
  } catch (error) {
    throw new WrongUsage(
      `the release key cannot be used: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

async function neededKey(): Promise<SigningKey> {
  const key = await releaseKey();
  if (key === undefined)
    throw new WrongUsage('a release key is needed: --release-key or SKYLARK_RELEASE_KEY');
  return key;
}

function readText(file: string): string {
  if (!existsSync(file)) throw new WrongUsage(`there is no file ${file}`);
  return readFileSync(file, 'utf8');
}

/** JSON for programs, else the text for people. */
function print(value: unknown, text: () => string): void {
  process.stdout.write(`${globals().json === true ? JSON.stringify(value) : text()}\n`);
}

const wholeNumber = (text: string): number => {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('a whole number is needed');
  return Number(text);
};
const percent = (text: string): number => {
  const number = Number(text);
  if (!(number >= 0 && number <= 100)) throw new InvalidArgumentError('a percentage from 0 to 100 is needed');
  return number;
};
const list = (text: string): string[] => text.split(',').map((part) => part.trim());

const keys = program.command('keys').description('signing keys; they never leave this machine');
keys
  .command('generate')
  .description('make a new Ed25519 key')
  .requiredOption('--out <file>', 'where to; mode 0600')
  .action(async ({ out }: { out: string }) => {
    if (existsSync(out)) throw new CommandFailed(`${out} exists already: it is not overwritten`);
    mkdirSync(dirname(out), { recursive: true });
    generateKey(out);
    const { id } = await openSigningKey(readFileSync(out, 'utf8'));
    print({ file: out, keyid: id }, () => `${out}\nkeyid ${id}`);
  });
keys
  .command('init')
  .description('make root, targets, release and online keys, and the signed metadata that trusts them')
  .requiredOption('--dir <directory>', 'where to')
  .action(async ({ dir }: { dir: string }) => {
    const made = await initRepository(dir);
    print(made, () => [...Object.values(made.keyFiles), made.rootFile, made.targetsFile].join('\n'));
  });

const firmwares = program.command('firmware').description('upload, sign, publish');
firmwares
  .command('sign <file>')
  .description('sign a file: a detached Ed25519 signature over its bytes, in FILE.sig')
  .action(async (file: string) => {
    if (!existsSync(file)) throw new WrongUsage(`there is no file ${file}`);
    const { keyid, sig } = (await neededKey()).sign(readFileSync(file));
    const checksum = await checksumOf(file);
    writeFileSync(`${file}.sig`, `${JSON.stringify({ keyid, sig, checksum })}\n`);
    print({ file: `${file}.sig`, keyid, sig, checksum }, () => `${file}.sig`);
  });
firmwares
  .command('upload <file>')
  .description('upload a firmware; with a release key also sign and publish it')
  .requiredOption('--version <version>', 'such as v1.1.0')
  .requiredOption('--model <model>', 'the hardware it is for')
  .option('--kind <kind>', 'firmware or app', 'firmware')
  .option('--release-notes <file>', 'a text file')
  .option('--min-version <version>', 'devices must have at least this')
  .action(
    async (
      file: string,
      options: Record<'version' | 'model' | 'kind', string> & { releaseNotes?: string; minVersion?: string },
    ) => {
      if (!existsSync(file)) throw new WrongUsage(`there is no file ${file}`);
      const [client, key] = [api(), await releaseKey()];
      const { version, model, kind, minVersion, releaseNotes } = options;
      const uploaded = await upload(client, file, {
        version,
        model,
        kind,
        release_notes: releaseNotes === undefined ? '' : readText(releaseNotes),
        ...(minVersion === undefined ? {} : { min_version: minVersion }),
      });
      if (uploaded.checksum !== (await checksumOf(file)))
        throw new CommandFailed('the server has other bytes than the file');
      const row = key === undefined ? uploaded : await publish(client, uploaded, key);
      print(row, () => `${row.model}/${row.version}  ${row.state}  ${row.id}`);
      if (row.state === 'uploaded')
        say('Not published yet: run "skylark firmware publish" with the release key.');
    },
  );
firmwares
  .command('publish <firmware>')
  .description('sign and publish an uploaded firmware, by ID or MODEL/VERSION')
  .action(async (name: string) => {
    const client = api();
    const key = await neededKey();
    const row = await publish(client, await findFirmware(client, name), key);
    print(row, () => `${row.model}/${row.version}  ${row.state}  ${row.id}`);
  });
firmwares
  .command('list')
  .description('all firmware')
  .action(async () => {
    const rows = await api().list('/firmware', firmware);
    print(rows, () =>
      table(
        ['MODEL', 'VERSION', 'STATE', 'SIZE', 'ID'],
        rows.map((r) => [r.model, r.version, r.state, String(r.size_bytes), r.id]),
      ),
    );
  });

const campaigns = program.command('campaign').description('make and steer campaigns');
interface CreateOptions {
  firmware: string;
  targetModel?: string;
  targetVersion?: string;
  groups?: string[];
  tags?: string[];
  serials?: string[];
  stages?: string;
  successThreshold?: number;
  minDuration?: number;
  failureThreshold?: number;
  onFailure?: string;
  maxConcurrent?: number;
  rate?: number;
  timeout?: number;
  maxAttempts?: number;
  start?: boolean;
}
campaigns
  .command('create <name>')
  .description('make a campaign, as a draft')
  .requiredOption('--firmware <firmware>', 'its ID, or MODEL/VERSION')
  .option('--target-model <model>', 'only this model')
  .option('--target-version <range>', 'only devices in this range, such as "< v1.1.0"')
  .option('--groups <groups>', 'only these groups, separated by commas', list)
  .option('--tags <tags>', 'only devices with one of these tags', list)
  .option('--serials <serials>', 'only these serial numbers', list)
  .option('--stages <percentages>', 'such as 10,50,100')
  .option('--success-threshold <percent>', 'a stage passes when this share completed', percent)
  .option('--min-duration <seconds>', 'a stage is open at least this long', wholeNumber)
  .option('--failure-threshold <percent>', 'the campaign stops when more than this share failed', percent)
  .option('--on-failure <action>', 'pause or rollback')
  .option('--max-concurrent <n>', 'most updates under way at a time', wholeNumber)
  .option('--rate <n>', 'most updates begun in a minute', wholeNumber)
  .option('--timeout <seconds>', 'how long one device may take', wholeNumber)
  .option('--max-attempts <n>', 'attempts per device', wholeNumber)
  .option('--start', 'start it at once')
  .action(async (name: string, o: CreateOptions) => {
    const client = api();
    const { id: firmware_id } = await findFirmware(client, o.firmware);
    const target = {
      model: o.targetModel,
      fw_version: o.targetVersion,
      groups: o.groups,
      tags: o.tags,
      serial_nos: o.serials,
    };
    const made = await client.post('/campaigns', campaign, {
      name,
      firmware_id,
      target,
      stages: o.stages === undefined ? undefined : parseStages(o.stages, o.successThreshold, o.minDuration),
      failure_threshold: o.failureThreshold,
      on_failure: o.onFailure,
      max_concurrent: o.maxConcurrent,
      rate_per_minute: o.rate,
      update_timeout_s: o.timeout,
      max_attempts: o.maxAttempts,
    });
    const now = o.start === true ? await client.post(`/campaigns/${made.id}/start`, campaign) : made;
    print(now, () => `${now.name}  ${now.status}  ${now.id}`);
  });
for (const action of ['start', 'pause', 'resume', 'cancel'] as const) {
  campaigns
    .command(`${action} <id>`)
    .description(`${action} a campaign`)
    .action(async (id: string) => {
      const now = await api().post(`/campaigns/${encodeURIComponent(id)}/${action}`, campaign);
      print(now, () => `${now.name}  ${now.status}`);
    });
}
campaigns
  .command('watch <id>')
  .description('tell how it goes until it is over; exit code 0 only if it completed')
  .option('--timeout <seconds>', 'give up after this', wholeNumber)
  .action(async (id: string, { timeout }: { timeout?: number }) => {
    const timeoutMs = timeout === undefined ? undefined : timeout * 1000;
    const over = await watch(api(), encodeURIComponent(id), { json: globals().json === true, timeoutMs });
    if (globals().json !== true) process.stdout.write(`${over.name}  ${over.status}\n`);
  });
campaigns
  .command('list')
  .description('all campaigns')
  .action(async () => {
    const rows = await api().list('/campaigns', campaign);
    print(rows, () =>
      table(
        ['NAME', 'STATUS', 'FIRMWARE', 'ID'],
        rows.map((r) => [r.name, r.status, r.firmware_version, r.id]),
      ),
    );
  });
campaigns
  .command('show <id>')
  .description('one campaign')
  .action(async (id: string) => {
    const row = await api().get(`/campaigns/${encodeURIComponent(id)}`, campaign);
    print(
      row,
      () => `${row.name}  ${row.status}${row.status_reason === null ? '' : `  (${row.status_reason})`}`,
    );
  });

const devices = program.command('device').description('the fleet');
devices
  .command('list')
  .description('all devices')
  .option('--model <model>')
  .option('--status <status>', 'online, offline or updating')
  .action(async (filter: Record<string, string>) => {
    const rows = await api().list(`/devices?${new URLSearchParams(filter)}`, device);
    print(rows, () =>
      table(
        ['SERIAL', 'MODEL', 'FIRMWARE', 'STATUS', 'LAST SEEN'],
        rows.map((r) => [r.serial_no, r.model, r.current_firmware ?? '-', r.status, r.last_seen ?? 'never']),
      ),
    );
  });
devices
  .command('show <device>')
  .description('one device, by ID or serial number')
  .action(async (id: string) => {
    const row = await api().get(`/devices/${encodeURIComponent(id)}`, device);
    print(row, () =>
      table(
        ['FIELD', 'VALUE'],
        Object.entries(row).map(([field, value]) => [
          field,
          typeof value === 'string' ? value : JSON.stringify(value),
        ]),
      ),
    );
  });
devices
  .command('revoke <device>')
  .description('its certificate stops working at once')
  .action(async (id: string) => {
    const row = await api().post(`/devices/${encodeURIComponent(id)}/revoke`, device);
    print(row, () => `${row.serial_no}  revoked`);
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version are not mistakes; commander has said the rest itself.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.exitCode = error instanceof WrongUsage ? 2 : 1;
    const known = error instanceof WrongUsage || error instanceof CommandFailed;
    const text = known
      ? error.message
      : `unexpected: ${error instanceof Error ? error.message : String(error)}`;
    say(`skylark: ${text}`);
  }
}
