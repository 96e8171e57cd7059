/** Resumable uploads under way, and the parts that are here. */
import { and, desc, eq, getTableColumns, lt, or, sql } from 'drizzle-orm';
import type { BeginUpload } from '../protocol/api.ts';
import type { Database } from './connection.ts';
import { sameName } from './firmware.ts';
import { areDamaged } from './firmware-upkeep.ts';
import { firmwareUploadParts, firmwareUploads } from './schema.ts';

export type UploadRow = typeof firmwareUploads.$inferSelect;

export interface StoredPart {
  part_no: number;
  etag: string;
}

/** Notes a resumable upload. */
export async function addUpload(
  db: Database,
  begin: BeginUpload,
  objectKey: string,
  actor: string,
): Promise<UploadRow> {
  const [row] = await db
    .insert(firmwareUploads)
    .values({
      version: begin.version,
      model: begin.model,
      kind: begin.kind,
      name: begin.name ?? null,
      releaseNotes: begin.release_notes,
      minVersion: begin.min_version ?? null,
      sha256: begin.checksum.slice('sha256:'.length),
      sizeBytes: begin.size_bytes,
      objectKey,
      createdBy: actor,
    })
    .returning();
  if (row === undefined) throw new Error('the upload was not stored');
  return row;
}

/** An upload under way with the parts that are here, and whether the same bytes are stored already and were found damaged. */
export async function findUpload(
  db: Database,
  id: string,
): Promise<{ upload: UploadRow; parts: StoredPart[]; damaged: boolean } | undefined> {
  const { partNo, etag, uploadId } = firmwareUploadParts;
  const part = sql`json_build_object('part_no', ${partNo}, 'etag', ${etag})`;
  const [row] = await db
    .select({
      upload: getTableColumns(firmwareUploads),
      parts: sql<
        StoredPart[]
      >`coalesce(json_agg(${part} order by ${partNo}) filter (where ${partNo} is not null), '[]')`,
      damaged: areDamaged(firmwareUploads.sha256),
    })
    .from(firmwareUploads)
    .leftJoin(firmwareUploadParts, eq(uploadId, firmwareUploads.id))
    .where(eq(firmwareUploads.id, id))
    .groupBy(firmwareUploads.id);
  return row;
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
        eq(firmwareUploads.kind, begin.kind),
        sameName(firmwareUploads.name, begin.name),
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

/** Notes what is said of an upload now: its bytes and its name stay, the rest may have changed. */
export async function describeUpload(db: Database, id: string, said: BeginUpload): Promise<void> {
  await db
    .update(firmwareUploads)
    .set({ releaseNotes: said.release_notes, minVersion: said.min_version ?? null })
    .where(eq(firmwareUploads.id, id));
}

/** Notes that a part is here; a part sent again replaces the first. */
export async function addPart(db: Database, uploadId: string, partNo: number, etag: string): Promise<void> {
  await db.batch([
    db
      .insert(firmwareUploadParts)
      .values({ uploadId, partNo, etag })
      .onConflictDoUpdate({
        target: [firmwareUploadParts.uploadId, firmwareUploadParts.partNo],
        set: { etag },
      }),
    db.update(firmwareUploads).set({ updatedAt: sql`now()` }).where(eq(firmwareUploads.id, uploadId)),
  ]);
}

/** All of an upload's parts are to be sent again. */
export async function forgetParts(db: Database, uploadId: string): Promise<void> {
  await db.delete(firmwareUploadParts).where(eq(firmwareUploadParts.uploadId, uploadId));
}

/** Uploads that nobody goes on with: without a part since one moment, or begun before another. */
export async function listAbandonedUploads(
  db: Database,
  idleSince: Date,
  begunBefore: Date,
): Promise<UploadRow[]> {
  return db
    .select()
    .from(firmwareUploads)
    .where(or(lt(firmwareUploads.updatedAt, idleSince), lt(firmwareUploads.createdAt, begunBefore)))
    .limit(100);
}

/** Forgets an upload, finished or given up. */
export async function deleteUpload(db: Database, id: string): Promise<void> {
  await db.delete(firmwareUploads).where(eq(firmwareUploads.id, id));
}
