/**
 * The daily care: firmware in R2 is read and compared, a little each day, and leftovers go; the months to come get
 * their place in the history, and what ended long ago moves to the archive.
 */
import { FIRMWARE_DOCUMENTS } from '../../protocol/api.ts';
import { firmwareTitle } from '../../protocol/target-path.ts';
import { cacheKey } from '../../store/cache.ts';
import { type Database, openDatabase } from '../../store/connection.ts';
import { DOCUMENTS, documentKey, type FirmwareRow } from '../../store/firmware.ts';
import { listUnchecked, noteChecked, noteDocumentsChecked } from '../../store/firmware-upkeep.ts';
import { deleteUpload, listAbandonedUploads, type UploadRow } from '../../store/firmware-uploads.ts';
import { dropEventMonths, makeEventMonths } from '../../store/history.ts';
import { archiveEnded } from '../campaign/archive.ts';
import { stopCampaignsOf } from '../campaign/stopped-firmware.ts';
import { readSettings } from '../coordinator/settings.ts';
import { invalidate } from '../coordinator/stale-keys.ts';
import type { Env } from '../env.ts';
import { digestObjects } from './digest.ts';
import { dropParts, findBytes, listPages, sweepParts } from './stored-bytes.ts';

const DAY_MS = 86_400_000;
/** Every firmware is read once in this time, unless there is more than a day's share of each day. */
const CHECK_EVERY_MS = 30 * DAY_MS;
/** What is read in a day, and one more: bytes, for reading costs time. */
const DAILY_BYTES = 2 * 1024 ** 3;
/** Nobody goes on with an upload that had no part for this long. */
const IDLE_MS = 3 * DAY_MS;
/** An upload is to be through a week after its begin. */
const UPLOAD_LIFE_MS = 7 * DAY_MS;

/** Does it all; what fails is said, and does not keep the rest from being done. Answers whether there is more to do soon. */
export async function upkeep(env: Env): Promise<boolean> {
  const db = openDatabase(env);
  const now = Date.now();
  let more = false;
  for (const job of [keepMonths, archive, checkSome, clearUploads, clearDocuments]) {
    try {
      more = (await job(env, db, now)) === true || more;
    } catch (error) {
      say(`the daily upkeep failed: ${String(error)}`);
    }
  }
  return more;
}

/** The months to come have their partitions; those nobody wants any more go. */
async function keepMonths(env: Env, db: Database, now: number): Promise<void> {
  const today = new Date(now);
  await makeEventMonths(db, today);
  const { keep_history_months: kept } = await readSettings(env);
  if (kept === 0) return;
  const first = new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - kept, 1));
  await dropEventMonths(db, first);
}

async function archive(env: Env, db: Database, now: number): Promise<boolean> {
  const { archive_after_days } = await readSettings(env);
  return archiveEnded(env, db, new Date(now - archive_after_days * DAY_MS));
}

/**
 * Reads firmware, and the documents beside it, and compares each with its hash; notes what is wrong with the bytes, and
 * with the documents.
 */
export async function checkBytes(env: Env, db: Database, sha256: string): Promise<void> {
  const place = await findBytes(env.FIRMWARE, sha256);
  const damage = await judge(env.FIRMWARE, sha256, place?.pieces);
  if (damage !== null) say(`firmware sha256:${sha256} is damaged: ${damage}`);
  const rows = await noteChecked(db, sha256, damage);
  for (const row of rows) await checkDocuments(env, db, row);
  await invalidate(
    env,
    rows.map(({ id }) => cacheKey.firmware(id)),
  );
  for (const row of rows) await stopCampaignsOf(env, db, row);
}

/** Reads the documents beside a firmware and compares each with its hash; notes what is wrong. */
export async function checkDocuments(env: Env, db: Database, row: FirmwareRow): Promise<void> {
  const wrong: string[] = [];
  for (const document of FIRMWARE_DOCUMENTS) {
    const sha256 = document === 'sbom' ? row.sbomSha256 : row.advisorySha256;
    if (sha256 === null) continue;
    const damage = await judge(env.FIRMWARE, sha256, [{ key: documentKey(sha256) }]);
    if (damage !== null) wrong.push(`${document}: ${damage}`);
  }
  if (wrong.length > 0) say(`documents of ${firmwareTitle(row)} are damaged: ${wrong.join('; ')}`);
  const damage = wrong.length === 0 ? null : wrong.join('; ');
  if (damage !== row.documentDamage) await noteDocumentsChecked(db, row.id, damage);
}

/** What is wrong with what lies in these objects. What breaks off twice is taken for damaged. */
async function judge(
  bucket: R2Bucket,
  sha256: string,
  objects: readonly { key: string; size?: number }[] | undefined,
): Promise<string | null> {
  if (objects?.length === 0) return 'the list of their parts cannot be read';
  const read = async () => objects && digestObjects(bucket, objects);
  try {
    const found = await read().catch(read);
    if (found === undefined) return 'they are missing';
    return found === sha256 ? null : `they have the checksum sha256:${found} now`;
  } catch (error) {
    return `they cannot be read: ${String(error).slice(0, 200)}`;
  }
}

/** Documents that were replaced, or whose firmware was deleted. A young one may be about to be noted. */
async function clearDocuments(env: Env, _db: Database, now: number): Promise<void> {
  for await (const objects of listPages(env.FIRMWARE, DOCUMENTS)) {
    const old = objects.filter(({ uploaded }) => uploaded.getTime() < now - DAY_MS);
    const sha256s = old.map(({ key }) => key.slice(DOCUMENTS.length));
    if (sha256s.length > 0) await env.RELEASES.getByName('main').dropDocuments(sha256s);
  }
}

async function checkSome(env: Env, db: Database, now: number): Promise<void> {
  let left = DAILY_BYTES;
  for (const { sha256, size_bytes } of await listUnchecked(db, new Date(now - CHECK_EVERY_MS), 1000)) {
    if (left <= 0) return;
    // One that cannot be read just now must not keep the others from being read, today and every day after.
    await checkBytes(env, db, sha256).catch((error: unknown) =>
      say(`firmware sha256:${sha256} was not checked: ${String(error)}`),
    );
    left -= size_bytes;
  }
}

/** Uploads nobody goes on with, and temporary objects that a crash has left. */
async function clearUploads(env: Env, db: Database, now: number): Promise<void> {
  const bucket = env.FIRMWARE;
  const [idleSince, begunBefore] = [new Date(now - IDLE_MS), new Date(now - UPLOAD_LIFE_MS)];
  for (const upload of await listAbandonedUploads(db, idleSince, begunBefore))
    await clearUpload(env, db, upload);
  await sweepParts(bucket, begunBefore);
}

/** Forgets an upload that was given up, with all that lies in R2 for it; what is in the catalogue stays. */
export async function clearUpload(env: Env, db: Database, upload: UploadRow): Promise<void> {
  await forgetUpload(env.FIRMWARE, db, upload);
  await env.RELEASES.getByName('main').dropUnwanted(upload.sha256);
}

/** Forgets an upload with its parts. What has a name stays; where nobody wants that, {@link clearUpload} is due. */
export async function forgetUpload(bucket: R2Bucket, db: Database, upload: UploadRow): Promise<void> {
  await dropParts(bucket, upload.objectKey, upload.sha256);
  await deleteUpload(db, upload.id);
}

function say(msg: string): void {
  console.error(JSON.stringify({ level: 'error', part: 'releases', msg }));
}
