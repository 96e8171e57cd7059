/** Leases: who is there, for as long as they keep saying so. */
import { type BridgeState, bridgeState } from '../../protocol/bridge.ts';

/** A lease that has not run out. */
export interface Lease {
  holder: string;
  since: string;
  renewed_at: string;
  expires_at: string;
  state: BridgeState;
}

/** Leases that have run out are remembered for this long. */
const KEPT_MS = 7 * 24 * 3_600_000;

interface Row extends Record<string, SqlStorageValue> {
  holder: string;
  since: number;
  renewed_at: number;
  expires_at: number;
  state: string;
}

export class Leases {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Takes or renews a lease until `now + ttl_ms`; times are Unix milliseconds. */
  renew(holder: string, state: BridgeState, now: number, ttl_ms: number): void {
    this.#create();
    this.#sql.exec('DELETE FROM leases WHERE expires_at <= ?', now - KEPT_MS);
    this.#sql.exec(
      `INSERT INTO leases (holder, since, renewed_at, expires_at, state) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (holder) DO UPDATE SET
         renewed_at = excluded.renewed_at, expires_at = excluded.expires_at, state = excluded.state`,
      holder,
      now,
      now,
      now + ttl_ms,
      JSON.stringify(state),
    );
  }

  release(holder: string): void {
    this.#create();
    this.#sql.exec('DELETE FROM leases WHERE holder = ?', holder);
  }

  /** Whether anybody had one lately, run out or not. */
  get everAny(): boolean {
    this.#create();
    return this.#sql.exec('SELECT 1 FROM leases LIMIT 1').toArray().length > 0;
  }

  /** Those that have not run out. */
  live(now: number): Lease[] {
    this.#create();
    const time = (at: number) => new Date(at).toISOString();
    return this.#sql
      .exec<Row>('SELECT * FROM leases WHERE expires_at > ? ORDER BY holder', now)
      .toArray()
      .map(({ holder, since, renewed_at, expires_at, state }) => ({
        holder,
        since: time(since),
        renewed_at: time(renewed_at),
        expires_at: time(expires_at),
        state: bridgeState.parse(JSON.parse(state)),
      }));
  }

  #create(): void {
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS leases (holder TEXT PRIMARY KEY, since INTEGER NOT NULL,
      renewed_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, state TEXT NOT NULL) WITHOUT ROWID`);
  }
}
