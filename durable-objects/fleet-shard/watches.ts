/** Which campaigns want to hear of which devices: in SQLite, and in memory for the way of every heartbeat. */

export class Watches {
  readonly #sql: SqlStorage;
  readonly #byDevice = new Map<string, Set<string>>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS watches
      (campaign_id TEXT, serial_no TEXT, PRIMARY KEY (campaign_id, serial_no)) WITHOUT ROWID`);
    for (const row of sql.exec<{ campaign_id: string; serial_no: string }>(
      'SELECT campaign_id, serial_no FROM watches',
    )) {
      this.#note(row.serial_no, row.campaign_id);
    }
  }

  /** The campaigns that want to hear of this device. */
  of(serialNo: string): Iterable<string> {
    return this.#byDevice.get(serialNo) ?? [];
  }

  add(campaignId: string, serialNos: readonly string[]): void {
    this.#sql.exec(
      'INSERT OR IGNORE INTO watches (campaign_id, serial_no) SELECT ?, value FROM json_each(?)',
      campaignId,
      JSON.stringify(serialNos),
    );
    for (const serial of serialNos) this.#note(serial, campaignId);
  }

  /** Ends the watch on these devices, or on all the campaign had. */
  remove(campaignId: string, serialNos?: readonly string[]): void {
    if (serialNos === undefined) {
      this.#sql.exec('DELETE FROM watches WHERE campaign_id = ?', campaignId);
    } else {
      this.#sql.exec(
        'DELETE FROM watches WHERE campaign_id = ? AND serial_no IN (SELECT value FROM json_each(?))',
        campaignId,
        JSON.stringify(serialNos),
      );
    }
    for (const serial of serialNos ?? [...this.#byDevice.keys()]) {
      const campaigns = this.#byDevice.get(serial);
      campaigns?.delete(campaignId);
      if (campaigns?.size === 0) this.#byDevice.delete(serial);
    }
  }

  #note(serialNo: string, campaignId: string): void {
    const campaigns = this.#byDevice.get(serialNo);
    if (campaigns === undefined) this.#byDevice.set(serialNo, new Set([campaignId]));
    else campaigns.add(campaignId);
  }
}
