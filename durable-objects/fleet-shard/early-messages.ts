/**
 * What devices said before they were known: two bridges may bring a device's first heartbeat and what it said after
 * that in either order. Kept until the heartbeat comes, or for so long that it will not.
 */
import { upTopic } from '../../protocol/topics.ts';
import type { Database } from '../../store/connection.ts';
import { addRejected } from '../../store/rejected-messages.ts';
import type { SingleMessage } from './messages.ts';

const KEPT_MS = 60_000;

interface Row extends Record<string, SqlStorageValue> {
  message: string;
}

export class EarlyMessages {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS early (digest TEXT PRIMARY KEY, serial_no TEXT NOT NULL,
      message TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID`);
  }

  /** Durable when it returns; the same message twice is one. */
  keep(messages: readonly SingleMessage[], now: number): void {
    for (const message of messages) {
      this.#sql.exec(
        'INSERT OR IGNORE INTO early VALUES (?, ?, ?, ?)',
        message.digest,
        message.serial_no,
        JSON.stringify(message),
        now + KEPT_MS,
      );
    }
  }

  /** What these devices said, in the order in which it was received. */
  of(serialNos: readonly string[]): SingleMessage[] {
    const rows = this.#sql.exec<Row>(
      'SELECT message FROM early WHERE serial_no IN (SELECT value FROM json_each(?))',
      JSON.stringify(serialNos),
    );
    return inOrder(rows);
  }

  /** Those nobody registered in time. */
  expired(now: number): SingleMessage[] {
    return inOrder(this.#sql.exec<Row>('SELECT message FROM early WHERE until <= ?', now));
  }

  forget(messages: readonly SingleMessage[]): void {
    if (messages.length === 0) return;
    this.#sql.exec(
      'DELETE FROM early WHERE digest IN (SELECT value FROM json_each(?))',
      JSON.stringify(messages.map(({ digest }) => digest)),
    );
  }

  /** When the first of them expires, Unix milliseconds. */
  get nextAt(): number | undefined {
    const { at } = this.#sql.exec<{ at: number | null }>('SELECT min(until) AS at FROM early').one();
    return at ?? undefined;
  }
}

/** What unknown devices said goes where an operator sees it, when they stay unknown. */
export async function rejectExpired(db: Database, early: EarlyMessages, now: number): Promise<void> {
  const expired = early.expired(now);
  await addRejected(
    db,
    expired.map(({ digest, serial_no, received_at, kind, ...said }) => ({
      id: digest,
      at: new Date(received_at),
      topic: upTopic(serial_no, kind === 'notify' ? 'notify' : 'status'),
      reason: 'no such device: it registers itself with its first heartbeat, and none came',
      excerpt: JSON.stringify(said).slice(0, 200),
    })),
  );
  early.forget(expired);
}

const inOrder = (rows: Iterable<Row>): SingleMessage[] =>
  [...rows]
    // Written above, by this very class.
    .map(({ message }) => JSON.parse(message) as SingleMessage)
    .sort((a, b) => a.received_at - b.received_at);
