/** The public address each device was last seen behind, where it has come by itself over HTTPS. */

export class Uplinks {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec('CREATE TABLE IF NOT EXISTS uplinks (serial_no TEXT PRIMARY KEY, address TEXT) WITHOUT ROWID');
  }

  /** Writes only where it has changed. */
  seen(serialNo: string, address: string): void {
    this.#sql.exec(
      `INSERT INTO uplinks VALUES (?, ?) ON CONFLICT (serial_no) DO UPDATE SET address = excluded.address
       WHERE address IS NOT excluded.address`,
      serialNo,
      address,
    );
  }

  /** The addresses of those of these devices that have come over HTTPS, by serial number. */
  of(serialNos: readonly string[]): Record<string, string> {
    const rows = this.#sql.exec<{ serial_no: string; address: string }>(
      'SELECT u.serial_no, u.address FROM json_each(?) s CROSS JOIN uplinks u ON u.serial_no = s.value',
      JSON.stringify(serialNos),
    );
    return Object.fromEntries([...rows].map(({ serial_no, address }) => [serial_no, address]));
  }

  forget(serialNo: string): void {
    this.#sql.exec('DELETE FROM uplinks WHERE serial_no = ?', serialNo);
  }
}
