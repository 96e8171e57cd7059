/** The first things a new Skylark needs: somebody who may sign in, an API key, the signed metadata. Idempotent. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Client } from 'pg';
import type { Repository } from '../cli/tuf-keys.ts';
import { hashPassword } from '../store/credentials.ts';
import { type Secrets, StartError } from './data.ts';

/** Adds the administrator and the API key to the database. */
export async function seedAccounts(databaseUrl: string, secrets: Secrets): Promise<void> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query(
      `INSERT INTO users (email, password_hash, role) VALUES ($1, $2, 'admin')
       ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash`,
      [secrets.admin_email, await hashPassword(secrets.admin_password)],
    );
    await client.query(
      `INSERT INTO api_keys (id, name, role, secret_hash) VALUES ($1, 'local', 'admin', $2) ON CONFLICT DO NOTHING`,
      [secrets.api_key_id, secrets.api_key_hash],
    );
  } finally {
    await client.end();
  }
}

/** Hands the offline-signed root, targets and first roles to the edge. Those it has already are left alone. */
export async function putMetadata(url: string, apiKey: string, repository: Repository): Promise<void> {
  for (const [name, file] of [
    ['1.root.json', repository.rootFile],
    ['1.targets.json', repository.targetsFile],
    ...repository.roleFiles.map((file) => [basename(file), file] as const),
  ] as const) {
    if ((await fetch(`${url}/tuf/${name}`)).ok) continue;
    const response = await fetch(`${url}/api/v1/tuf/${name}`, {
      method: 'PUT',
      headers: { Authorization: `Bearer ${apiKey}` },
      body: readFileSync(file),
      signal: AbortSignal.timeout(30_000),
    });
    if (!response.ok)
      throw new StartError(`the edge refused ${name}: ${(await response.text()).slice(0, 300)}`);
  }
}
