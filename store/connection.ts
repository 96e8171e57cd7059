/** The way to the database: Neon's HTTP driver, one request a statement or a batch, nothing kept open between. */
import { neon, neonConfig } from '@neondatabase/serverless';
import { drizzle, type NeonHttpDatabase } from 'drizzle-orm/neon-http';

export type Database = NeonHttpDatabase;

/** What it takes to reach the database; the Worker's environment has these. */
export interface DatabaseAddress {
  DATABASE_URL: string;
  NEON_FETCH_ENDPOINT?: string;
}

/** A database handle. Cheap: nothing connects before the first statement. */
export function openDatabase(address: DatabaseAddress): Database {
  const { NEON_FETCH_ENDPOINT: endpoint } = address;
  if (endpoint !== undefined) neonConfig.fetchEndpoint = () => endpoint;
  return drizzle(neon(address.DATABASE_URL));
}
