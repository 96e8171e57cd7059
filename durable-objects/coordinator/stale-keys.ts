/** Cache keys whose source has changed while the cache could not be told: kept until it has been. */
import { type Cache, openCache } from '../../store/cache.ts';
import type { Env } from '../env.ts';

const BATCH = 500;

export class StaleKeys {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  add(keys: readonly string[]): void {
    this.#create();
    this.#sql.exec('INSERT OR IGNORE INTO stale_keys SELECT value FROM json_each(?)', JSON.stringify(keys));
  }

  /** Tells the cache; true when nothing is left. */
  async settle(cache: Cache): Promise<boolean> {
    this.#create();
    for (;;) {
      const rows = this.#sql.exec<{ key: string }>('SELECT key FROM stale_keys LIMIT ?', BATCH).toArray();
      if (rows.length === 0) return true;
      const keys = rows.map(({ key }) => key);
      if (!(await cache.forget(keys))) return false;
      this.#sql.exec(
        'DELETE FROM stale_keys WHERE key IN (SELECT value FROM json_each(?))',
        JSON.stringify(keys),
      );
    }
  }

  #create(): void {
    this.#sql.exec('CREATE TABLE IF NOT EXISTS stale_keys (key TEXT PRIMARY KEY) WITHOUT ROWID');
  }
}

/**
 * Makes the cache forget keys whose source has changed. Where it does not answer, that is noted durably and tried
 * until it does: what it held is never kept for longer than it is away. Throws where not even that is possible.
 */
export async function invalidate(env: Env, keys: readonly string[]): Promise<void> {
  if (keys.length === 0 || (await openCache(env).forget(keys))) return;
  await env.COORDINATOR.getByName('cache').forgetLater([...keys]);
}
