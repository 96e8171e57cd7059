/** The data directory: one owner at a time, secrets only its owner can read. */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { newApiKey, newSecret } from '../store/credentials.ts';

/** Something the person at the terminal can mend. Shown as one line, without a stack. */
export class StartError extends Error {}

const secretsSchema = z.object({
  admin_email: z.string(),
  admin_password: z.string(),
  api_key: z.string(),
  api_key_id: z.string(),
  api_key_hash: z.string(),
  bridge_token: z.string(),
  jwt_secret: z.string(),
  download_keys: z.record(z.string(), z.string()),
  cache_token: z.string(),
  postgres_password: z.string(),
});
export type Secrets = z.infer<typeof secretsSchema>;

export interface DataDirectory {
  path: string;
  keys: string;
  logs: string;
  secrets: Secrets;
  /** Lets the next one in. */
  release(): void;
}

/** Opens the data directory, emptied first if `fresh`. Throws {@link StartError} while another one uses it. */
export async function openData(directory: string, fresh: boolean): Promise<DataDirectory> {
  const path = resolve(directory);
  const lock = join(path, 'skylark.pid');
  const owner = existsSync(lock) ? Number(readFileSync(lock, 'utf8')) : undefined;
  if (owner !== undefined && isAlive(owner)) {
    throw new StartError(
      `${path} is in use by another Skylark (process ${owner}): stop it, or use --data DIR`,
    );
  }
  if (fresh) emptyOwn(path);
  mkdirSync(path, { recursive: true, mode: 0o755 });
  writeFileSync(lock, String(process.pid));
  const [keys, logs] = [join(path, 'keys'), join(path, 'logs')];
  mkdirSync(keys, { recursive: true, mode: 0o700 });
  mkdirSync(logs, { recursive: true });
  return {
    path,
    keys,
    logs,
    secrets: await readSecrets(join(path, 'secrets.json')),
    release: () => rmSync(lock, { force: true }),
  };
}

/** `--fresh` must not become `rm -rf` of somebody's folder: only a directory of ours is emptied. */
function emptyOwn(path: string): void {
  if (!existsSync(path)) return;
  if (!existsSync(join(path, 'secrets.json'))) {
    throw new StartError(`--fresh will not empty ${path}: it is no Skylark data directory`);
  }
  rmSync(path, { recursive: true, force: true });
}

async function readSecrets(file: string): Promise<Secrets> {
  if (existsSync(file)) return secretsSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  const { key, id, secretHash } = await newApiKey();
  const secrets: Secrets = {
    admin_email: 'admin@skylark.local',
    admin_password: randomBytes(12).toString('base64url'),
    api_key: key,
    api_key_id: id,
    api_key_hash: secretHash,
    bridge_token: newSecret(),
    jwt_secret: newSecret(),
    download_keys: { [`k${randomBytes(4).toString('hex')}`]: randomBytes(32).toString('base64') },
    cache_token: newSecret(),
    postgres_password: newSecret(),
  };
  writeFileSync(file, JSON.stringify(secrets, null, 2), { mode: 0o600 });
  chmodSync(file, 0o600);
  return secrets;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
