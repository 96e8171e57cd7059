/** What PostgreSQL says, read from outside. */
import { Pool } from 'pg';
import type { Said } from './numbered-device.ts';

export class Ledger {
  readonly #pool: Pool;

  /** Reads over a new connection where PostgreSQL was killed in between. */
  constructor(url: string) {
    this.#pool = new Pool({ connectionString: url });
    this.#pool.on('error', () => undefined);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  /** How often each numbered message stands there, by {@link nameOf}. */
  async messages(): Promise<Map<string, number>> {
    const { rows } = await this.#pool.query<{ serial_no: string; kind: string; n: string; times: number }>(`
      SELECT serial_no, kind, COALESCE(detail->>'new_value', detail->>'detail') AS n, count(*)::int AS times
      FROM device_events e JOIN devices d ON d.id = e.device_id
      WHERE kind IN ('setting', 'update') GROUP BY 1, 2, 3`);
    return new Map(rows.map((row) => [`${row.serial_no} ${row.kind} ${row.n}`, row.times]));
  }

  /** Every setting's value, by `serial_no key`. */
  async settings(): Promise<Record<string, string>> {
    return this.#record(`SELECT serial_no || ' ' || config_key AS name, config_value AS value
      FROM device_configs c JOIN devices d ON d.id = c.device_id`);
  }

  /** Each member's state in a campaign, by serial number. */
  async members(campaignId: string): Promise<Record<string, string>> {
    return this.#record(
      'SELECT serial_no AS name, status::text AS value FROM campaign_devices WHERE campaign_id = $1',
      [campaignId],
    );
  }

  /** Each device's status and firmware, by serial number. */
  async devices(): Promise<Record<string, string>> {
    return this.#record("SELECT serial_no AS name, status || ' ' || current_firmware AS value FROM devices");
  }

  /** Messages that were not understood, or refused. */
  async rejected(): Promise<string[]> {
    const { rows } = await this.#pool.query<{ topic: string; reason: string }>(
      'SELECT topic, reason FROM rejected_messages',
    );
    return rows.map(({ topic, reason }) => `${topic}: ${reason}`);
  }

  async #record(query: string, values: string[] = []): Promise<Record<string, string>> {
    const { rows } = await this.#pool.query<{ name: string; value: string }>(query, values);
    return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
  }
}

/** A message as the ledger's timeline names it. */
export const nameOf = (serial: string, { channel, n }: Pick<Said, 'channel' | 'n'>): string =>
  `${serial} ${channel === 'notify' ? 'setting' : 'update'} ${n}`;
