/** Brings a database up to the newest migration. */
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import { Client } from 'pg';

const FOLDER = new URL('../migrations', import.meta.url).pathname;
/** Any number, the same for all who migrate: two at a time wait for each other. */
const LOCK = 7_291_034;

/** Applies what is missing. Two at the same time do it once. Throws where the database refuses. */
export async function applyMigrations(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    await migrate(drizzle(client), { migrationsFolder: FOLDER });
  } finally {
    await client.end();
  }
}
