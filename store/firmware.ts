/** Firmware: what was uploaded, under which model and version, and whether it is published. */
import { and, asc, count, desc, eq, lt, ne, or, sql } from 'drizzle-orm';
import type { BeginUpload, Firmware, FirmwareDescription, Page, Paging } from '../protocol/api.ts';
import type { Database } from './connection.ts';
import { pageOf, readCursor } from './page.ts';
import { campaigns, firmware, firmwareUploadParts, firmwareUploads } from './schema.ts';

export type FirmwareRow = typeof firmware.$inferSelect;
export type UploadRow = typeof firmwareUploads.$inferSelect;

/** What the API shows of a firmware. */
export function firmwareOf(row: FirmwareRow): Firmware {
  return {
    id: row.id,
    kind: row.kind,
    version: row.version,
    model: row.model,
    checksum: `sha256:${row.sha256}`,
    size_bytes: row.sizeBytes,
    state: row.state,
    release_notes: row.releaseNotes,
    min_version: row.minVersion,
    uploaded_at: row.uploadedAt.toISOString(),
    published_at: row.publishedAt?.toISOString() ?? null,
  };
}

/** Where the bytes lie in R2: by content, so that the same bytes are kept once and never overwritten. */
export const objectKey = (sha256: string): string => `firmware/sha256/${sha256}`;

/** The target's path in the update metadata. */
export const targetPath = (row: { model: string; version: string }): string =>
  `${row.model}/${row.version}.bin`;

export interface FirmwareFilter {
  model?: string | undefined;
  state?: Firmware['state'] | undefined;
  kind?: Firmware['kind'] | undefined;
  version?: string | undefined;
}

/** A page of firmware, newest upload first. */
export async function listFirmware(
  db: Database,
  filter: FirmwareFilter,
  paging: Paging,
): Promise<Page<Firmware>> {
  const [at, id] = readCursor(paging.cursor) ?? [];
  const rows = await db
    .select()
    .from(firmware)
    .where(
      and(
        filter.model === undefined ? undefined : eq(firmware.model, filter.model),
        filter.state === undefined ? undefined : eq(firmware.state, filter.state),
        filter.kind === undefined ? undefined : eq(firmware.kind, filter.kind),
        filter.version === undefined ? undefined : eq(firmware.version, filter.version),
        at === undefined || id === undefined
          ? undefined
          : or(
              lt(firmware.uploadedAt, sql`${at}::timestamptz`),
              and(eq(firmware.uploadedAt, sql`${at}::timestamptz`), lt(firmware.id, id)),
            ),
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

/** Other published releases of the same kind for the same model: what a device too old for `row` may need first. */
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
        ne(firmware.id, row.id),
      ),
    );
}

/** What holds this model and version already. */
export async function findFirmwareByVersion(
  db: Database,
  model: string,
  version: string,
): Promise<FirmwareRow | undefined> {
  const [row] = await db
    .select()
    .from(firmware)
    .where(and(eq(firmware.model, model), eq(firmware.version, version)))
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
      version: description.version,
      model: description.model,
      sha256: artifact.sha256,
      sizeBytes: artifact.size_bytes,
      releaseNotes: description.release_notes,
      minVersion: description.min_version ?? null,
      uploadedBy: actor,
    })
    .onConflictDoNothing()
    .returning();
  return row;
}

/** Marks a firmware as published. */
export async function markPublished(db: Database, id: string): Promise<FirmwareRow | undefined> {
  const [row] = await db
    .update(firmware)
    .set({ state: 'published', publishedAt: sql`COALESCE(${firmware.publishedAt}, now())` })
    .where(eq(firmware.id, id))
    .returning();
  return row;
}

/** Whether a campaign, of any status, is about this firmware. */
export async function firmwareInUse(db: Database, id: string): Promise<boolean> {
  const [row] = await db.select({ n: count() }).from(campaigns).where(eq(campaigns.firmwareId, id));
  return (row?.n ?? 0) > 0;
}

/** Deletes the firmware; answers whether its bytes are now nobody's. */
export async function deleteFirmware(db: Database, row: FirmwareRow): Promise<boolean> {
  const [, others] = await db.batch([
    db.delete(firmware).where(eq(firmware.id, row.id)),
    db.select({ n: count() }).from(firmware).where(eq(firmware.sha256, row.sha256)),
  ]);
  return (others[0]?.n ?? 0) === 0;
}

/** Notes a resumable upload. */
export async function addUpload(
  db: Database,
  begin: BeginUpload,
  storage: { object_key: string; multipart_id: string },
  actor: string,
): Promise<UploadRow> {
  const [row] = await db
    .insert(firmwareUploads)
    .values({
      version: begin.version,
      model: begin.model,
      kind: begin.kind,
      releaseNotes: begin.release_notes,
      minVersion: begin.min_version ?? null,
      sha256: begin.checksum.slice('sha256:'.length),
      sizeBytes: begin.size_bytes,
      objectKey: storage.object_key,
      multipartId: storage.multipart_id,
      createdBy: actor,
    })
    .returning();
  if (row === undefined) throw new Error('the upload was not stored');
  return row;
}

/** An upload under way with the parts that are here. */
export async function findUpload(
  db: Database,
  id: string,
): Promise<{ upload: UploadRow; parts: { part_no: number; etag: string }[] } | undefined> {
  const [uploads, parts] = await db.batch([
    db.select().from(firmwareUploads).where(eq(firmwareUploads.id, id)),
    db
      .select({ part_no: firmwareUploadParts.partNo, etag: firmwareUploadParts.etag })
      .from(firmwareUploadParts)
      .where(eq(firmwareUploadParts.uploadId, id))
      .orderBy(asc(firmwareUploadParts.partNo)),
  ]);
  const [upload] = uploads;
  return upload === undefined ? undefined : { upload, parts };
}

/** An unfinished upload of the same bytes under the same name by the same actor, to go on with. */
export async function findUnfinishedUpload(
  db: Database,
  begin: BeginUpload,
  actor: string,
): Promise<UploadRow | undefined> {
  const [row] = await db
    .select()
    .from(firmwareUploads)
    .where(
      and(
        eq(firmwareUploads.model, begin.model),
        eq(firmwareUploads.version, begin.version),
        eq(firmwareUploads.sha256, begin.checksum.slice('sha256:'.length)),
        eq(firmwareUploads.sizeBytes, begin.size_bytes),
        eq(firmwareUploads.createdBy, actor),
      ),
    )
    .orderBy(desc(firmwareUploads.createdAt))
    .limit(1);
  return row;
}

/** Notes that a part is here; a part sent again replaces the first. */
export async function addPart(db: Database, uploadId: string, partNo: number, etag: string): Promise<void> {
  await db
    .insert(firmwareUploadParts)
    .values({ uploadId, partNo, etag })
    .onConflictDoUpdate({
      target: [firmwareUploadParts.uploadId, firmwareUploadParts.partNo],
      set: { etag },
    });
}

/** Forgets an upload, finished or given up. */
export async function deleteUpload(db: Database, id: string): Promise<void> {
  await db.delete(firmwareUploads).where(eq(firmwareUploads.id, id));
}
