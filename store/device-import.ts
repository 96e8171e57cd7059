/** Bulk import: many devices in few statements. */
import { sql } from 'drizzle-orm';
import type { RegisterDevice } from '../protocol/api.ts';
import type { Database } from './connection.ts';

/** What became of the devices of one bulk statement, by serial number. */
export interface Imported {
  created: string[];
  updated: string[];
  /** They exist, and are of another model. */
  refused: string[];
}

/** A device as a file has it: what it leaves out stays as it is. */
export type ImportedDevice = Pick<RegisterDevice, 'serial_no' | 'model' | 'group' | 'tags' | 'metadata'>;

/**
 * Writes devices that are new, and of those that exist what differs; one of another model is left alone. Metadata is
 * merged. With `dryRun` nothing is written, and the answer is what would be.
 */
export async function importDevices(
  db: Database,
  list: readonly ImportedDevice[],
  dryRun: boolean,
): Promise<Imported> {
  const sorted = [...list].sort((a, b) => (a.serial_no < b.serial_no ? -1 : 1));
  const column = <Value>(pick: (device: ImportedDevice) => Value) => sql.param(sorted.map(pick));
  const rows = sql`unnest(${column((d) => d.serial_no)}::text[], ${column((d) => d.model)}::text[],
      ${column((d) => d.group ?? null)}::text[],
      ${column((d) => (d.tags === undefined ? null : JSON.stringify(d.tags)))}::jsonb[],
      ${column((d) => JSON.stringify(d.metadata ?? {}))}::jsonb[]) AS r(serial_no, model, group_name, tags, metadata)`;
  const tags = sql`CASE WHEN r.tags IS NULL THEN NULL ELSE ARRAY(SELECT jsonb_array_elements_text(r.tags)) END`;
  const differs = sql`(COALESCE(r.group_name, d.group_name) IS DISTINCT FROM d.group_name
      OR COALESCE(${tags}, d.tags) IS DISTINCT FROM d.tags
      OR (d.metadata || r.metadata) IS DISTINCT FROM d.metadata)`;
  const look = db.execute<{ serial_no: string; model: string; same: boolean }>(sql`
    SELECT d.serial_no, d.model, (d.model = r.model) AS same FROM ${rows} JOIN devices d USING (serial_no)`);
  const changed = sql`FROM ${rows} WHERE d.serial_no = r.serial_no AND d.model = r.model AND ${differs}`;
  if (dryRun) {
    const [known, updated] = await db.batch([
      look,
      db.execute<{ serial_no: string }>(
        sql`SELECT d.serial_no FROM devices d, ${rows} WHERE d.serial_no = r.serial_no AND d.model = r.model AND ${differs}`,
      ),
    ]);
    return sum(sorted, known.rows, updated.rows);
  }
  const [known, updated] = await db.batch([
    look,
    db.execute<{ serial_no: string }>(sql`
      UPDATE devices d SET group_name = COALESCE(r.group_name, d.group_name), tags = COALESCE(${tags}, d.tags),
        metadata = d.metadata || r.metadata, updated_at = now() ${changed} RETURNING d.serial_no`),
    db.execute(sql`
      INSERT INTO devices (serial_no, model, group_name, tags, metadata)
      SELECT r.serial_no, r.model, r.group_name, COALESCE(${tags}, '{}'), r.metadata FROM ${rows}
      WHERE NOT EXISTS (SELECT FROM devices e WHERE e.serial_no = r.serial_no)
      ON CONFLICT (serial_no) DO NOTHING`),
  ]);
  return sum(sorted, known.rows, updated.rows);
}

function sum(
  list: readonly ImportedDevice[],
  known: readonly { serial_no: string; same: boolean }[],
  updated: readonly { serial_no: string }[],
): Imported {
  const there = new Set(known.map(({ serial_no }) => serial_no));
  return {
    created: list.filter(({ serial_no }) => !there.has(serial_no)).map(({ serial_no }) => serial_no),
    updated: updated.map(({ serial_no }) => serial_no),
    refused: known.filter(({ same }) => !same).map(({ serial_no }) => serial_no),
  };
}
