/** What the daily upkeep of the stored bytes reads and notes. */
import { and, asc, type Column, count, eq, inArray, isNotNull, isNull, lt, or, sql } from 'drizzle-orm';
import type { Database } from './connection.ts';
import type { FirmwareRow } from './firmware.ts';
import { firmware, firmwareUploads } from './schema.ts';

export interface StoredBytes {
  sha256: string;
  size_bytes: number;
}

/** Stored bytes not read and compared since a moment, the longest ago first. */
export async function listUnchecked(db: Database, since: Date, limit: number): Promise<StoredBytes[]> {
  return db
    .select({ sha256: firmware.sha256, size_bytes: sql<number>`max(${firmware.sizeBytes})::float8` })
    .from(firmware)
    .where(or(isNull(firmware.checkedAt), lt(firmware.checkedAt, since)))
    .groupBy(firmware.sha256)
    .orderBy(asc(sql`min(coalesce(${firmware.checkedAt}, '-infinity'::timestamptz))`))
    .limit(limit);
}

/** Notes what was found when bytes were read: nothing wrong, or what is. Answers the firmware that has them. */
export async function noteChecked(
  db: Database,
  sha256: string,
  damage: string | null,
): Promise<FirmwareRow[]> {
  return db
    .update(firmware)
    .set({ checkedAt: sql`now()`, damage })
    .where(eq(firmware.sha256, sha256))
    .returning();
}

/** Notes what was found when the documents beside a firmware were read: nothing wrong, or what is. */
export async function noteDocumentsChecked(db: Database, id: string, damage: string | null): Promise<void> {
  await db.update(firmware).set({ documentDamage: damage }).where(eq(firmware.id, id));
}

/** Firmware whose damaged documents may be whole now: this one, and all that have a document that was just stored. */
export async function listMended(db: Database, id: string, sha256: string): Promise<FirmwareRow[]> {
  const { sbomSha256, advisorySha256, documentDamage } = firmware;
  const concerned = or(eq(firmware.id, id), eq(sbomSha256, sha256), eq(advisorySha256, sha256));
  return db
    .select()
    .from(firmware)
    .where(and(isNotNull(documentDamage), concerned));
}

/** Of these documents, those that some firmware has. */
export async function wantedDocuments(db: Database, sha256s: readonly string[]): Promise<Set<string>> {
  const columns = [firmware.sbomSha256, firmware.advisorySha256];
  const found = await Promise.all(
    columns.map((sha256) =>
      db
        .select({ sha256 })
        .from(firmware)
        .where(inArray(sha256, [...sha256s])),
    ),
  );
  return new Set(found.flat().flatMap(({ sha256 }) => sha256 ?? []));
}

/** Whether these bytes were found damaged, and nobody has mended them since. */
export async function isDamaged(db: Database, sha256: string): Promise<boolean> {
  const { rows } = await db.execute<{ damaged: boolean }>(sql`select ${areDamaged(sha256)} as damaged`);
  return rows[0]?.damaged === true;
}

/** The same as part of a statement, for bytes whose hash is a column's. */
export const areDamaged = (sha256: string | Column) =>
  sql<boolean>`exists (select from ${firmware} where ${firmware.sha256} = ${sha256} and ${firmware.damage} is not null)`;

/** How many firmware there are whose bytes, or documents, are damaged. */
export async function countDamaged(db: Database): Promise<number> {
  const [row] = await db
    .select({ n: count() })
    .from(firmware)
    .where(or(isNotNull(firmware.damage), isNotNull(firmware.documentDamage)));
  return row?.n ?? 0;
}

/** Whether any firmware has these bytes, or an upload under way is to have them. */
export async function isWanted(db: Database, sha256: string): Promise<boolean> {
  const [stored, coming] = await db.batch([
    db.select({ n: count() }).from(firmware).where(eq(firmware.sha256, sha256)),
    db.select({ n: count() }).from(firmwareUploads).where(eq(firmwareUploads.sha256, sha256)),
  ]);
  return (stored[0]?.n ?? 0) + (coming[0]?.n ?? 0) > 0;
}
