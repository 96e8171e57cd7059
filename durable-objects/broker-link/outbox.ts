/** Commands on their way to devices, in SQLite until the broker has acknowledged them. */

export interface OutboxMessage {
  serial_no: string;
  topic: string;
  payload: string;
  /** Whose command it is, so that those not sent yet can be withdrawn. */
  campaign_id?: string | undefined;
  /** Unix milliseconds; afterwards nobody wants it any more. */
  expires_at: number;
}

export interface QueuedMessage {
  id: string;
  topic: string;
  payload: string;
  expires_at: number;
}

export class Outbox {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS outbox (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      serial_no TEXT NOT NULL,
      topic TEXT NOT NULL,
      payload TEXT NOT NULL,
      campaign_id TEXT,
      expires_at INTEGER NOT NULL
    )`);
  }

  /** Adds messages; what is added in order is sent in order. */
  add(messages: readonly OutboxMessage[]): void {
    this.#sql.exec(
      `INSERT INTO outbox (serial_no, topic, payload, campaign_id, expires_at)
       SELECT value->>'serial_no', value->>'topic', value->>'payload', value->>'campaign_id', value->>'expires_at'
       FROM json_each(?)`,
      JSON.stringify(messages),
    );
  }

  /** The next messages after `cursor`, oldest first. */
  after(cursor: number, limit: number): QueuedMessage[] {
    return this.#sql
      .exec<{ id: number; topic: string; payload: string; expires_at: number }>(
        'SELECT id, topic, payload, expires_at FROM outbox WHERE id > ? ORDER BY id LIMIT ?',
        cursor,
        limit,
      )
      .toArray()
      .map((row) => ({ ...row, id: String(row.id) }));
  }

  /** Forgets messages the broker has. */
  remove(ids: readonly (string | number)[]): void {
    this.#sql.exec(
      'DELETE FROM outbox WHERE id IN (SELECT CAST(value AS INTEGER) FROM json_each(?))',
      JSON.stringify(ids),
    );
  }

  /** Forgets a campaign's messages. */
  withdraw(campaignId: string): void {
    this.#sql.exec('DELETE FROM outbox WHERE campaign_id = ?', campaignId);
  }

  /** What nobody wants any more. */
  expired(now: number): { id: number; serial_no: string; payload: string; expires_at: number }[] {
    return this.#sql
      .exec<{ id: number; serial_no: string; payload: string; expires_at: number }>(
        'SELECT id, serial_no, payload, expires_at FROM outbox WHERE expires_at <= ?',
        now,
      )
      .toArray();
  }

  get empty(): boolean {
    return this.#sql.exec('SELECT 1 FROM outbox LIMIT 1').toArray().length === 0;
  }

  get size(): number {
    return this.#sql.exec<{ n: number }>('SELECT count(*) AS n FROM outbox').one().n;
  }
}
