/**
 * Devices whose heartbeats say an earlier time than was said before. What was on its way for long comes all at once; a
 * clock that was set back goes on at the pace of ours, and from its second such heartbeat on it is believed.
 */

/** Heartbeats nearer to each other say nothing of a clock's pace, in seconds: one may come twice, some seconds apart. */
const APART_S = 30;
/** How far the pace may be off, in seconds: heartbeats are held up on their way. */
const TOLERANCE_S = 10;
/** Nobody compares with what is older than this, in seconds. */
const KEPT_S = 86_400;

export class SetBackClocks {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS behind
      (serial_no TEXT PRIMARY KEY, said INTEGER NOT NULL, received INTEGER NOT NULL) WITHOUT ROWID`);
  }

  /** Notes a heartbeat that seems late; answers whether the device's clock was set back. Times are Unix seconds. */
  isSetBack(serialNo: string, said: number, received: number): boolean {
    const [before] = this.#sql
      .exec<{ said: number; received: number }>(
        'SELECT said, received FROM behind WHERE serial_no = ?',
        serialNo,
      )
      .toArray();
    const passed = before === undefined ? 0 : received - before.received;
    if (before !== undefined && passed >= 0 && passed < APART_S) return false;
    const isPace =
      before !== undefined && passed >= APART_S && Math.abs(said - before.said - passed) <= TOLERANCE_S;
    this.#sql.exec('DELETE FROM behind WHERE serial_no = ? OR received < ?', serialNo, received - KEPT_S);
    if (!isPace) this.#sql.exec('INSERT INTO behind VALUES (?, ?, ?)', serialNo, said, received);
    return isPace;
  }
}
