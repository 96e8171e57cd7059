/** Firmware and apps: what was uploaded, under which model, name and version, and whether it may be installed. */
import { and, desc, eq, inArray, isNull, ne, or, type SQL, sql } from 'drizzle-orm';
import type { AnyPgColumn } from 'drizzle-orm/pg-core';
import type { Firmware, FirmwareDescription, FirmwareDocument, Page, Paging } from '../protocol/api.ts';
import type { Named } from '../protocol/target-path.ts';
import { spellings } from '../protocol/version.ts';
import type { Database } from './connection.ts';
import { behind, pageOf, readCursor, timeAndUuidKey } from './page.ts';
import { firmware } from './schema.ts';

export type FirmwareRow = typeof firmware.$inferSelect;

const checksumOf = (sha256: string | null) => (sha256 === null ? null : `sha256:${sha256}`);

/** What the API shows of a firmware. */
export function firmwareOf(row: FirmwareRow): Firmware {
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    version: row.version,
    model: row.model,
    checksum: `sha256:${row.sha256}`,
    size_bytes: row.sizeBytes,
    state: row.state,
    release_notes: row.releaseNotes,
    min_version: row.minVersion,
    sbom: checksumOf(row.sbomSha256),
    advisory: checksumOf(row.advisorySha256),
    uploaded_at: row.uploadedAt.toISOString(),
    published_at: row.publishedAt?.toISOString() ?? null,
    withdrawn_at: row.withdrawnAt?.toISOString() ?? null,
    withdrawn_reason: row.withdrawnReason,
    damage: row.damage,
    document_damage: row.documentDamage,
  };
}

/** Why a campaign with withdrawn firmware stands still. */
export const withdrawnReason = (row: FirmwareRow): string =>
  `the firmware was withdrawn: ${row.withdrawnReason ?? 'no reason was given'}`;

/** Why no device may be offered this firmware for now; `undefined` where it may. */
export const stopReason = (row: FirmwareRow): string | undefined => {
  if (row.state === 'withdrawn') return withdrawnReason(row);
  return row.damage === null ? undefined : `the stored bytes of the firmware are damaged: ${row.damage}`;
};

/** Where the bytes lie in R2: by content, so that the same bytes are kept once and never overwritten. */
export const objectKey = (sha256: string): string => `firmware/sha256/${sha256}`;

/** Where documents beside firmware lie in R2, by content. */
export const DOCUMENTS = 'documents/sha256/';
export const documentKey = (sha256: string): string => `${DOCUMENTS}${sha256}`;

/** Whether a column holds this app's name, or none. */
export const sameName = (column: AnyPgColumn, name: string | null | undefined): SQL =>
  name == null ? isNull(column) : eq(column, name);

export interface FirmwareFilter {
  model?: string | undefined;
  state?: Firmware['state'] | undefined;
  kind?: Firmware['kind'] | undefined;
  name?: string | undefined;
  version?: string | undefined;
}

/** A page of firmware, newest upload first. */
export async function listFirmware(
  db: Database,
  filter: FirmwareFilter,
  paging: Paging,
): Promise<Page<Firmware>> {
  const cursor = readCursor(paging.cursor, timeAndUuidKey);
  const rows = await db
    .select()
    .from(firmware)
    .where(
      and(
        filter.model === undefined ? undefined : eq(firmware.model, filter.model),
        filter.state === undefined ? undefined : eq(firmware.state, filter.state),
        filter.kind === undefined ? undefined : eq(firmware.kind, filter.kind),
        filter.name === undefined ? undefined : eq(firmware.name, filter.name),
        filter.version === undefined ? undefined : eq(firmware.version, filter.version),
        behind(cursor, firmware.uploadedAt, firmware.id),
      ),
    )
    .orderBy(desc(firmware.uploadedAt), desc(firmware.id))
    .limit(paging.limit + 1);
  return pageOf(rows, paging.limit, (row) => [row.uploadedAt.toISOString(), row.id], firmwareOf);
}

export async function findFirmware(db: Database, id: string): Promise<FirmwareRow | undefined> {
  const [row] = await db.select().from(firmware).where(eq(firmware.id, id)).limit(1);
  return row;
}

/** Other whole, published releases of the same kind for the same model: what a device too old for `row` may need first. */
export async function listSteps(
  db: Database,
  row: Pick<FirmwareRow, 'id' | 'model' | 'kind'>,
): Promise<FirmwareRow[]> {
  return db
    .select()
    .from(firmware)
    .where(
      and(
        eq(firmware.model, row.model),
        eq(firmware.kind, row.kind),
        eq(firmware.state, 'published'),
        isNull(firmware.damage),
        ne(firmware.id, row.id),
      ),
    );
}

/** Every release under this name, in whatever state. */
export async function listReleases(db: Database, named: Omit<Named, 'version'>): Promise<FirmwareRow[]> {
  return db
    .select()
    .from(firmware)
    .where(
      and(
        eq(firmware.model, named.model),
        eq(firmware.kind, named.kind),
        sameName(firmware.name, named.name),
      ),
    );
}

/** What holds this model, name and version already, however that is spelt. */
export async function findFirmwareNamed(db: Database, named: Named): Promise<FirmwareRow | undefined> {
  const [row] = await db
    .select()
    .from(firmware)
    .where(
      and(
        eq(firmware.model, named.model),
        eq(firmware.kind, named.kind),
        sameName(firmware.name, named.name),
        inArray(firmware.version, spellings(named.version)),
      ),
    )
    .orderBy(desc(sql`${firmware.version} = ${named.version}`))
    .limit(1);
  return row;
}

export interface StoredArtifact {
  sha256: string;
  size_bytes: number;
}

/** Adds a firmware whose bytes are stored; `undefined` where its model and version are taken. */
export async function addFirmware(
  db: Database,
  description: FirmwareDescription,
  artifact: StoredArtifact,
  actor: string,
): Promise<FirmwareRow | undefined> {
  const [row] = await db
    .insert(firmware)
    .values({
      kind: description.kind,
      name: description.name ?? null,
      version: description.version,
      model: description.model,
      sha256: artifact.sha256,
      sizeBytes: artifact.size_bytes,
      releaseNotes: description.release_notes,
      minVersion: description.min_version ?? null,
      uploadedBy: actor,
      // The database's own clock is finer than a cursor.
      uploadedAt: new Date(),
    })
    .onConflictDoNothing()
    .returning();
  return row;
}

/** Notes what is said of firmware now: only of what is not published, and only what is said. */
export async function describeFirmware(
  db: Database,
  id: string,
  { release_notes, min_version }: Pick<FirmwareDescription, 'release_notes' | 'min_version'>,
): Promise<FirmwareRow | undefined> {
  const said = {
    ...(release_notes === '' ? {} : { releaseNotes: release_notes }),
    ...(min_version == null ? {} : { minVersion: min_version }),
  };
  if (Object.keys(said).length === 0) return undefined;
  const [row] = await db
    .update(firmware)
    .set(said)
    .where(and(eq(firmware.id, id), eq(firmware.state, 'uploaded')))
    .returning();
  return row;
}

/**
 * Marks uploaded firmware as published, with what was signed of it, which may have been described anew in between; what is
 * published or withdrawn already stays as it is.
 */
export async function markPublished(
  db: Database,
  { id, minVersion }: Pick<FirmwareRow, 'id' | 'minVersion'>,
): Promise<FirmwareRow | undefined> {
  await db
    .update(firmware)
    .set({ state: 'published', publishedAt: sql`now()`, minVersion })
    .where(and(eq(firmware.id, id), eq(firmware.state, 'uploaded')));
  return findFirmware(db, id);
}

/** Marks a firmware as withdrawn; again changes nothing. */
export async function markWithdrawn(
  db: Database,
  id: string,
  reason: string,
): Promise<FirmwareRow | undefined> {
  await db
    .update(firmware)
    .set({ state: 'withdrawn', withdrawnAt: sql`now()`, withdrawnReason: reason })
    .where(and(eq(firmware.id, id), sql`${firmware.state} <> 'withdrawn'`));
  return findFirmware(db, id);
}

/** Notes a document beside firmware. Once it is published what is there stays: answers false where it is another one. */
export async function setDocument(
  db: Database,
  id: string,
  document: FirmwareDocument,
  sha256: string,
): Promise<boolean> {
  const column = document === 'sbom' ? firmware.sbomSha256 : firmware.advisorySha256;
  const rows = await db
    .update(firmware)
    .set(document === 'sbom' ? { sbomSha256: sha256 } : { advisorySha256: sha256 })
    .where(and(eq(firmware.id, id), or(eq(firmware.state, 'uploaded'), isNull(column), eq(column, sha256))))
    .returning({ id: firmware.id });
  return rows.length > 0;
}

/** Deletes the firmware. Its bytes may still be another's. */
export async function deleteFirmware(db: Database, id: string): Promise<void> {
  await db.delete(firmware).where(eq(firmware.id, id));
}
