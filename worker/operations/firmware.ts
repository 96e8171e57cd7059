/** What can be done to firmware, for the API and the pages alike. Bytes go to R2 under their own hash, once. */
import { stopCampaignsOf } from '../../durable-objects/campaign/stopped-firmware.ts';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import { invalidate } from '../../durable-objects/coordinator/stale-keys.ts';
import { hex } from '../../durable-objects/releases/digest.ts';
import { checkBytes, checkDocuments } from '../../durable-objects/releases/upkeep.ts';
import {
  type Firmware,
  type FirmwareDescription,
  type FirmwareDocument,
  firmware as firmwareSchema,
  MAX_DOCUMENT_BYTES,
} from '../../protocol/api.ts';
import { firmwareTitle, type Named, targetPath } from '../../protocol/target-path.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { cacheKey, TTL_S } from '../../store/cache.ts';
import { whoNeeds } from '../../store/catalogue.ts';
import {
  deleteFirmware,
  describeFirmware,
  documentKey,
  type FirmwareRow,
  findFirmware,
  findFirmwareNamed,
  firmwareOf,
  markWithdrawn,
  type StoredArtifact,
} from '../../store/firmware.ts';
import { listMended } from '../../store/firmware-upkeep.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { LARGEST_BYTES } from './objects.ts';

const namedOf = (d: FirmwareDescription): Named => ({ ...d, name: d.name ?? null });

const taken = (version: string) =>
  new ProblemError(409, 'Version taken', `Other bytes are stored as ${version} of it: raise the version.`);

/** The last firmware that had these bytes was deleted at the very moment. */
export class BytesGone extends ProblemError {
  constructor() {
    super(
      409,
      'Bytes gone',
      'They were stored already, and then deleted with the firmware that had them: send them again.',
    );
  }
}

export const mismatch = () =>
  new ProblemError(
    422,
    'Checksum mismatch',
    'What arrived does not have the checksum you named; nothing was kept.',
  );

/** What the API shows of a firmware, from the cache. Throws a 404. */
export async function firmwareNow(c: AppContext, id: string): Promise<Firmware> {
  const known = await c.var.cache.read(
    cacheKey.firmware(id.toLowerCase()),
    firmwareSchema.optional(),
    TTL_S.firmware,
    async () => {
      const row = await findFirmware(c.var.db, id);
      return row && firmwareOf(row);
    },
  );
  if (known === undefined) throw new ProblemError(404, 'No such firmware', 'No firmware has this ID.');
  return known;
}

/** A firmware has changed in the ledger: the cache forgets it. */
export const firmwareChanged = (c: AppContext, id: string): Promise<void> =>
  invalidate(c.env, [cacheKey.firmware(id)]);

/** What is there under this name with the same bytes. Throws where other bytes have it. */
export async function findSame(
  c: AppContext,
  description: FirmwareDescription,
  sha256: string,
): Promise<FirmwareRow | undefined> {
  const there = await findFirmwareNamed(c.var.db, namedOf(description));
  if (there !== undefined && there.sha256 !== sha256) throw taken(there.version);
  return there;
}

/** Firmware that is here already, as it is described now. What is published keeps what was signed of it. */
export async function describedAnew(
  c: AppContext,
  there: FirmwareRow,
  description: FirmwareDescription,
): Promise<FirmwareRow> {
  const row = await describeFirmware(c.var.db, there.id, description);
  if (row !== undefined) await firmwareChanged(c, there.id);
  return row ?? there;
}

/** Enters bytes that are stored, and verified, into the catalogue. Throws {@link BytesGone} where they were dropped since. */
export async function addStored(
  c: AppContext,
  description: FirmwareDescription,
  artifact: StoredArtifact,
): Promise<FirmwareRow> {
  const { actor } = c.var.principal;
  const added = await c.env.RELEASES.getByName('main').enter(description, artifact, actor);
  if (added === 'gone') throw new BytesGone();
  if (added === undefined) {
    const there = await findSame(c, description, artifact.sha256);
    if (there === undefined) throw taken(description.version);
    return there;
  }
  const subject = firmwareTitle(added);
  await auditEntry(c.var.db, { actor, action: 'firmware.upload', subject, detail: { sha256: added.sha256 } });
  return added;
}

/** The most bytes one firmware may have here. */
export async function mostBytes(c: AppContext): Promise<number> {
  return Math.min((await readSettings(c.env)).max_firmware_bytes, LARGEST_BYTES);
}

export async function checkSize(c: AppContext, bytes: number): Promise<void> {
  const most = await mostBytes(c);
  if (bytes > most)
    throw new ProblemError(413, 'Firmware too large', `At most ${most} bytes are allowed here.`);
  if (bytes === 0) throw new ProblemError(422, 'Empty file', 'The firmware has no bytes.');
}

/**
 * Takes firmware back: no campaign with it can start any more, those that run are paused. Devices that have it keep
 * it. It stays withdrawn for good: whoever has the metadata could install it for ever, so its version is spent.
 */
export async function withdrawFirmware(
  c: AppContext,
  row: FirmwareRow,
  reason: string,
): Promise<FirmwareRow> {
  if (row.state === 'uploaded') {
    throw new ProblemError(
      409,
      'Not published',
      'It was never published, so nothing can have it: delete it.',
    );
  }
  await c.env.RELEASES.getByName('main').withdraw(targetPath(row));
  const withdrawn = await markWithdrawn(c.var.db, row.id, reason);
  if (withdrawn === undefined) throw new ProblemError(404, 'No such firmware');
  await firmwareChanged(c, row.id);
  const paused = await stopCampaignsOf(c.env, c.var.db, withdrawn);
  const { actor } = c.var.principal;
  const subject = firmwareTitle(row);
  await auditEntry(c.var.db, { actor, action: 'firmware.withdraw', subject, detail: { reason, paused } });
  return withdrawn;
}

/** Stores a document beside firmware, by content. Once the firmware is published another one is refused. */
export async function storeDocument(
  c: AppContext,
  row: FirmwareRow,
  document: FirmwareDocument,
  bytes: ArrayBuffer,
): Promise<void> {
  if (bytes.byteLength === 0) throw new ProblemError(422, 'Empty document', 'Send it as the body.');
  if (bytes.byteLength > MAX_DOCUMENT_BYTES)
    throw new ProblemError(413, 'Document too large', `At most ${MAX_DOCUMENT_BYTES} bytes.`);
  const sha256 = hex(await crypto.subtle.digest('SHA-256', bytes));
  // The same bytes again mend damaged ones, and the daily job takes no young document for one that nobody wants.
  await c.env.FIRMWARE.put(documentKey(sha256), bytes, {
    sha256,
    httpMetadata: { contentType: c.req.header('Content-Type') ?? 'application/octet-stream' },
  });
  const noted = await c.env.RELEASES.getByName('main').noteDocument(row.id, document, sha256);
  if (noted === 'gone')
    throw new ProblemError(409, 'Document gone', 'It was removed at this very moment: send it again.');
  if (!noted)
    throw new ProblemError(409, 'Document is fixed', 'It was published with another one: raise the version.');
  for (const damaged of await listMended(c.var.db, row.id, sha256)) {
    await checkDocuments(c.env, c.var.db, damaged);
    await firmwareChanged(c, damaged.id);
  }
  await firmwareChanged(c, row.id);
  const { actor } = c.var.principal;
  const subject = firmwareTitle(row);
  await auditEntry(c.var.db, { actor, action: `firmware.${document}`, subject, detail: { sha256 } });
}

/** Reads the stored bytes and documents now and compares them with their hashes; the daily job does it by itself. */
export async function checkFirmware(c: AppContext, row: FirmwareRow): Promise<FirmwareRow> {
  await checkBytes(c.env, c.var.db, row.sha256);
  const now = await findFirmware(c.var.db, row.id);
  if (now === undefined) throw new ProblemError(404, 'No such firmware');
  return now;
}

/** Deletes firmware nothing needs; the bytes go when nothing else has the same. */
export async function removeFirmware(c: AppContext, row: FirmwareRow): Promise<void> {
  const needed = await whoNeeds(c.var.db, row);
  if (needed !== undefined) throw new ProblemError(409, 'Firmware in use', needed);
  await deleteFirmware(c.var.db, row.id);
  await c.env.RELEASES.getByName('main').dropUnwanted(row.sha256);
  await firmwareChanged(c, row.id);
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'firmware.delete',
    subject: firmwareTitle(row),
  });
}
