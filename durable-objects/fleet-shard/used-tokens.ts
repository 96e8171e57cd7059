/** The device tokens that were used, until they have expired anyway: each is good once. */
export class UsedTokens {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS used_tokens
      (serial_no TEXT, jti TEXT, exp INTEGER, PRIMARY KEY (serial_no, jti)) WITHOUT ROWID`);
  }

  /** True the first time, false ever after; times are Unix seconds. */
  use(serialNo: string, jti: string, exp: number, now: number): boolean {
    this.#sql.exec('DELETE FROM used_tokens WHERE exp < ?', now - 60);
    const added = this.#sql.exec(
      'INSERT OR IGNORE INTO used_tokens (serial_no, jti, exp) VALUES (?, ?, ?) RETURNING 1',
      serialNo,
      jti,
      exp,
    );
    return added.toArray().length === 1;
  }
}
