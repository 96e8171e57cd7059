/**
 * Which campaigns want to hear of which devices, and which of them may update a device now: in SQLite, and in memory
 * for the way of every heartbeat.
 */

/** A campaign as the shards rank it. */
export interface Contender {
  id: string;
  name: string;
  priority: number;
  /** Unix milliseconds; of equal priorities the newer goes first. */
  started_at: number;
  /** What it replaces on a device: campaigns for the same thing contend. */
  replaces: string;
}

/** Why a campaign may not update a device now. */
export interface Refused {
  by: string;
  /** The other one is newer and takes its place; otherwise it is only its turn. */
  superseded: boolean;
}

/** What came of reserving devices for an update. */
export interface Claimed {
  /** Those the campaign may not have now, by serial number. */
  refused: Record<string, Refused>;
  /** Those that were heard once and are not there now. */
  offline: string[];
}

interface CampaignRow extends Record<string, SqlStorageValue> {
  id: string;
  name: string;
  priority: number;
  started_at: number;
  replaces: string;
}

export class Watches {
  readonly #sql: SqlStorage;
  readonly #byDevice = new Map<string, readonly string[]>();
  /** Devices that are in the same campaigns share one list of them: a fleet has few different ones. */
  readonly #lists = new Map<string, readonly string[]>();
  readonly #campaigns = new Map<string, Contender>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS watching (campaign_id TEXT, serial_no TEXT, PRIMARY KEY (campaign_id, serial_no))
        WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS contenders (id TEXT PRIMARY KEY, name TEXT, priority INTEGER, started_at INTEGER,
        replaces TEXT) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS claims (serial_no TEXT PRIMARY KEY, campaign_id TEXT) WITHOUT ROWID;`);
    for (const row of sql.exec<CampaignRow>('SELECT * FROM contenders')) this.#campaigns.set(row.id, row);
    for (const row of sql.exec<{ campaign_id: string; serial_no: string }>('SELECT * FROM watching')) {
      this.#note(row.serial_no, row.campaign_id);
    }
  }

  /** The campaigns that want to hear of this device. */
  of(serialNo: string): readonly string[] {
    return this.#byDevice.get(serialNo) ?? [];
  }

  add(campaign: Contender, serialNos: readonly string[]): void {
    const { id, name, priority, started_at, replaces } = campaign;
    this.#sql.exec(
      'INSERT OR REPLACE INTO contenders VALUES (?, ?, ?, ?, ?)',
      id,
      name,
      priority,
      started_at,
      replaces,
    );
    this.#campaigns.set(id, campaign);
    this.#sql.exec(
      'INSERT OR IGNORE INTO watching SELECT ?, value FROM json_each(?)',
      id,
      JSON.stringify(serialNos),
    );
    for (const serial of serialNos) this.#note(serial, id);
  }

  /**
   * Reserves these devices for the campaign's update. Answers those it may not have now, by serial number. It hears of
   * them from then on, if it did not before: without that it would never learn that one has arrived.
   */
  claim(campaign: Contender, serialNos: readonly string[]): Record<string, Refused> {
    const campaignId = campaign.id;
    const unheard = serialNos.filter((serial) => !this.of(serial).includes(campaignId));
    if (unheard.length > 0) this.add(campaign, unheard);
    const refused: Record<string, Refused> = {};
    const granted: string[] = [];
    for (const serial of serialNos) {
      const why = this.#mayNot(campaignId, serial);
      if (why === undefined) granted.push(serial);
      else refused[serial] = why;
    }
    this.#sql.exec(
      'INSERT OR REPLACE INTO claims SELECT value, ? FROM json_each(?)',
      campaignId,
      JSON.stringify(granted),
    );
    return refused;
  }

  /** Whether any campaign has reserved it for its update. */
  isClaimed(serialNo: string): boolean {
    return this.#sql.exec('SELECT 1 FROM claims WHERE serial_no = ?', serialNo).toArray().length > 0;
  }

  /** The campaign has these devices no longer reserved: others may have them meanwhile. */
  yield(campaignId: string, serialNos: readonly string[]): void {
    this.#sql.exec(
      'DELETE FROM claims WHERE campaign_id = ? AND serial_no IN (SELECT value FROM json_each(?))',
      campaignId,
      JSON.stringify(serialNos),
    );
  }

  /** The campaign is done with these devices, or with all it had. */
  remove(campaignId: string, serialNos?: readonly string[]): void {
    if (serialNos === undefined) {
      this.#sql.exec('DELETE FROM watching WHERE campaign_id = ?', campaignId);
      this.#sql.exec('DELETE FROM claims WHERE campaign_id = ?', campaignId);
      this.#sql.exec('DELETE FROM contenders WHERE id = ?', campaignId);
      this.#campaigns.delete(campaignId);
    } else {
      const list = JSON.stringify(serialNos);
      for (const table of ['watching', 'claims']) {
        this.#sql.exec(
          `DELETE FROM ${table} WHERE campaign_id = ? AND serial_no IN (SELECT value FROM json_each(?))`,
          campaignId,
          list,
        );
      }
    }
    for (const serial of serialNos ?? this.#byDevice.keys()) this.#forget(serial, campaignId);
    if (this.#byDevice.size === 0) this.#lists.clear();
  }

  #mayNot(campaignId: string, serial: string): Refused | undefined {
    const me = this.#campaigns.get(campaignId);
    for (const id of this.of(serial)) {
      const other = this.#campaigns.get(id);
      if (me === undefined || other === undefined || id === campaignId) continue;
      if (other.replaces !== me.replaces || !isBefore(other, me)) continue;
      return { by: other.name, superseded: other.started_at > me.started_at };
    }
    const [claim] = this.#sql
      .exec<{ campaign_id: string }>('SELECT campaign_id FROM claims WHERE serial_no = ?', serial)
      .toArray();
    if (claim === undefined || claim.campaign_id === campaignId) return undefined;
    return { by: this.#campaigns.get(claim.campaign_id)?.name ?? claim.campaign_id, superseded: false };
  }

  #note(serialNo: string, campaignId: string): void {
    const campaigns = this.#byDevice.get(serialNo) ?? [];
    if (!campaigns.includes(campaignId))
      this.#byDevice.set(serialNo, this.#shared([...campaigns, campaignId]));
  }

  #forget(serialNo: string, campaignId: string): void {
    const campaigns = this.#byDevice.get(serialNo);
    if (campaigns?.includes(campaignId) !== true) return;
    const left = campaigns.filter((id) => id !== campaignId);
    if (left.length === 0) this.#byDevice.delete(serialNo);
    else this.#byDevice.set(serialNo, this.#shared(left));
  }

  #shared(campaigns: readonly string[]): readonly string[] {
    const key = campaigns.join();
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    this.#lists.set(key, campaigns);
    return campaigns;
  }
}

const isBefore = (a: Contender, b: Contender): boolean =>
  a.priority > b.priority || (a.priority === b.priority && a.started_at > b.started_at);
