/** Firmware that came whole. */
import type { FirmwareDescription } from '../../protocol/api.ts';
import type { FirmwareRow } from '../../store/firmware.ts';
import type { AppContext } from '../context.ts';
import type { ReceivedFile } from '../uploads/received-file.ts';
import { addStored, findSame, mismatch } from './firmware.ts';

/** Stores a file that came whole. The same bytes again are a success. */
export async function storeFirmware(
  c: AppContext,
  description: FirmwareDescription,
  file: ReceivedFile,
): Promise<{ row: FirmwareRow; created: boolean }> {
  const { sha256, size } = file;
  if (description.checksum !== undefined && description.checksum !== `sha256:${sha256}`) throw mismatch();
  const there = await findSame(c, description, sha256);
  if (there !== undefined) return { row: there, created: false };
  await file.keep();
  return { row: await addStored(c, description, { sha256, size_bytes: size }), created: true };
}
