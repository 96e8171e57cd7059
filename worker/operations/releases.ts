/** Publishing firmware: the bytes to sign go out, the signatures come back. No release key ever comes here. */
import type { Prepared, Refused, Release } from '../../durable-objects/releases/releases.ts';
import type { Signatures } from '../../protocol/api.ts';
import { targetPath } from '../../protocol/target-path.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { type FirmwareRow, markPublished } from '../../store/firmware.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { firmwareChanged } from './firmware.ts';
import { mustBeWhole } from './withdrawn.ts';

const STATUS = {
  no_repository: 409,
  no_role: 422,
  stale: 409,
  bad_signature: 422,
  not_prepared: 409,
  would_break: 409,
  spent: 409,
  full: 409,
} as const;

function throwRefusal({ refused, detail }: Refused): never {
  const title = refused === 'bad_signature' ? 'Signature not accepted' : 'Cannot publish';
  throw new ProblemError(STATUS[refused], title, `${detail}.`);
}

/** The bytes to sign for this firmware. Throws the problem where no role is trusted with its model. */
export async function prepareRelease(c: AppContext, row: FirmwareRow): Promise<Exclude<Prepared, Refused>> {
  mustBePublishable(row);
  const prepared = await c.env.RELEASES.getByName('main').prepare(releaseOf(row));
  return 'refused' in prepared ? throwRefusal(prepared) : prepared;
}

/**
 * Publishes with these signatures. A crash after the metadata is out is mended by publishing again; so does an advisory
 * that came later get into the metadata.
 */
export async function publishRelease(
  c: AppContext,
  row: FirmwareRow,
  signed: Signatures,
): Promise<FirmwareRow> {
  const [release, releases] = [releaseOf(row), c.env.RELEASES.getByName('main')];
  if (row.state === 'published' && (await releases.isReleased(release))) return row;
  mustBePublishable(row);
  const refused = await releases.publish(release, signed);
  if (refused !== null) throwRefusal(refused);
  const published = await markPublished(c.var.db, row);
  if (published === undefined) throw new ProblemError(404, 'No such firmware');
  await firmwareChanged(c, row.id);
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'firmware.publish',
    subject: targetPath(row),
    detail: { keyids: signed.signatures.map((s) => s.keyid) },
  });
  return published;
}

function releaseOf(row: FirmwareRow): Release {
  return {
    firmware_id: row.id,
    path: targetPath(row),
    length: row.sizeBytes,
    sha256: row.sha256,
    custom: {
      version: row.version,
      kind: row.kind,
      ...(row.name === null ? {} : { name: row.name }),
      hw: [row.model],
      minVersion: row.minVersion,
      advisory: row.advisorySha256 === null ? null : `sha256:${row.advisorySha256}`,
    },
  };
}

function mustBePublishable(row: FirmwareRow): void {
  mustBeWhole(row);
  if (row.state !== 'withdrawn') return;
  throw new ProblemError(409, 'Firmware withdrawn', 'It was withdrawn for good: raise the version.');
}
