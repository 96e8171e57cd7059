/** `npm run deploy`: migrations, then the Worker. `-- --dry-run` checks all of it without an account. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { hashPassword } from '../store/credentials.ts';
import { openData, StartError } from './data.ts';
import { applyMigrations } from './migrate.ts';
import { startPostgres } from './postgres.ts';

const ENVIRONMENT = 'production';
const WRANGLER_MS = 300_000;

/** Set each with `npx wrangler secret put NAME --env production`. */
const SECRETS = [
  'DATABASE_URL',
  'UPSTASH_REDIS_REST_URL',
  'UPSTASH_REDIS_REST_TOKEN',
  'BRIDGE_TOKENS',
  'JWT_SECRET',
  'DOWNLOAD_KEYS',
  'DEVICE_CA_CERT',
  'DEVICE_CA_KEY',
  'TUF_ONLINE_KEY',
] as const;

const say = (line: string) => process.stdout.write(`${line}\n`);

function readArguments() {
  try {
    return parseArgs({
      options: {
        'dry-run': { type: 'boolean', default: false },
        'admin-email': { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new StartError(
      `${error instanceof Error ? error.message : String(error)} (known: --dry-run, --admin-email EMAIL)`,
    );
  }
}

/** Runs wrangler; answers what it printed. Throws {@link StartError} with its last words. */
async function wrangler(args: readonly string[], show: boolean): Promise<string> {
  const program = join(
    createRequire(import.meta.url).resolve('wrangler/package.json'),
    '..',
    'bin',
    'wrangler.js',
  );
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_HIDE_BANNER: 'true' },
    timeout: WRANGLER_MS,
  });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      if (show) process.stdout.write(chunk);
    });
  }
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  if (code !== 0)
    throw new StartError(`wrangler ${args[0]} failed: ${out.trim().split('\n').slice(-5).join(' ')}`);
  return out;
}

async function dryRun(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'skylark-deploy-'));
  try {
    const data = await openData(join(directory, 'data'), false);
    const postgres = await startPostgres(data);
    try {
      await applyMigrations(postgres.url);
      // Applied again they must change nothing: a deployment may be repeated.
      await applyMigrations(postgres.url);
    } finally {
      await postgres.stop();
      data.release();
    }
    say('migrations: apply to an empty PostgreSQL, and twice');
    await wrangler(
      ['deploy', '--dry-run', '--env', ENVIRONMENT, '--outdir', join(directory, 'worker')],
      false,
    );
    say('worker:     bundles with every binding of wrangler.toml');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  say(`secrets:    to be set before the first deployment: ${SECRETS.join(', ')}`);
  say('Dry run: nothing was deployed.');
}

async function deploy(adminEmail: string | undefined): Promise<void> {
  const databaseUrl = process.env.DATABASE_URL;
  if (databaseUrl === undefined || databaseUrl === '') {
    throw new StartError('DATABASE_URL is not set: the address of the Neon database, for the migrations');
  }
  const listed = await wrangler(['secret', 'list', '--env', ENVIRONMENT, '--format', 'json'], false);
  const missing = SECRETS.filter((name) => !listed.includes(`"${name}"`));
  if (missing.length > 0) {
    throw new StartError(
      `secrets are missing: ${missing.join(', ')}. Set each with: npx wrangler secret put NAME --env ${ENVIRONMENT}`,
    );
  }
  await applyMigrations(databaseUrl);
  say('migrations: up to date');
  if (adminEmail !== undefined) await addAdministrator(databaseUrl, adminEmail);
  await wrangler(['deploy', '--env', ENVIRONMENT], true);
}

/** The first person who may sign in. Somebody who is there already keeps their password. */
async function addAdministrator(databaseUrl: string, email: string): Promise<void> {
  const password = randomBytes(15).toString('base64url');
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query(
      "INSERT INTO users (email, password_hash, role) VALUES ($1, $2, 'admin') ON CONFLICT DO NOTHING",
      [email.trim().toLowerCase(), await hashPassword(password)],
    );
    say(
      rowCount === 1
        ? `administrator: ${email}, password ${password} (shown this once)`
        : `administrator: ${email} is there already`,
    );
  } finally {
    await client.end();
  }
}

try {
  const { 'dry-run': dry, 'admin-email': adminEmail } = readArguments();
  await (dry ? dryRun() : deploy(adminEmail));
} catch (error) {
  process.stderr.write(`skylark: ${error instanceof StartError ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
