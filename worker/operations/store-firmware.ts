/** Firmware that came whole. */
import { checkBytes } from '../../durable-objects/releases/upkeep.ts';
import type { FirmwareDescription } from '../../protocol/api.ts';
import type { FirmwareRow } from '../../store/firmware.ts';
import { isDamaged } from '../../store/firmware-upkeep.ts';
import type { AppContext } from '../context.ts';
import type { ReceivedFile } from '../uploads/received-file.ts';
import { addStored, describedAnew, findSame, mismatch } from './firmware.ts';

/** Stores a file that came whole. The same bytes again are a success, and mend those that were damaged. */
export async function storeFirmware(
  c: AppContext,
  description: FirmwareDescription,
  file: ReceivedFile,
): Promise<{ row: FirmwareRow; created: boolean }> {
  const { sha256, size } = file;
  if (description.checksum !== undefined && description.checksum !== `sha256:${sha256}`) throw mismatch();
  const [there, damaged] = await Promise.all([findSame(c, description, sha256), isDamaged(c.var.db, sha256)]);
  if (there !== undefined && !damaged)
    return { row: await describedAnew(c, there, description), created: false };
  await file.keep(damaged);
  if (damaged) await checkBytes(c.env, c.var.db, sha256);
  try {
    const row = await addStored(c, description, { sha256, size_bytes: size });
    return { row, created: there === undefined };
  } catch (error) {
    // Somebody else took the name at the same time.
    await c.env.RELEASES.getByName('main').dropUnwanted(sha256);
    throw error;
  }
}
