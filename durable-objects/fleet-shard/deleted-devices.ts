/** Devices that were just deleted: what they said before, and still arrives, must not register them again. */
const KEPT_MS = 10 * 60_000;

export class DeletedDevices {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec('CREATE TABLE IF NOT EXISTS deleted (serial_no TEXT PRIMARY KEY, until INTEGER) WITHOUT ROWID');
  }

  add(serialNo: string, now: number): void {
    this.#sql.exec('DELETE FROM deleted WHERE until < ?', now);
    this.#sql.exec('INSERT OR REPLACE INTO deleted VALUES (?, ?)', serialNo, now + KEPT_MS);
  }

  /** They are registered again. */
  remove(serialNos: readonly string[]): void {
    this.#sql.exec(
      'DELETE FROM deleted WHERE serial_no IN (SELECT value FROM json_each(?))',
      JSON.stringify(serialNos),
    );
  }

  has(serialNo: string, now: number): boolean {
    const found = this.#sql.exec('SELECT 1 FROM deleted WHERE serial_no = ? AND until >= ?', serialNo, now);
    return found.toArray().length > 0;
  }
}
