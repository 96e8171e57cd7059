/** Changing the fleet's settings, for the API and the page alike. */
import type { Settings, VersionedSettings } from '../../protocol/settings.ts';
import { auditEntry } from '../../store/audit-log.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { LARGEST_BYTES } from './objects.ts';

/** Changes some settings. Throws a 409 where somebody else has changed them since `version`, a 422 where one cannot be. */
export async function changeSettings(
  c: AppContext,
  version: number,
  change: Partial<Settings>,
): Promise<VersionedSettings> {
  if ((change.max_firmware_bytes ?? 0) > LARGEST_BYTES) {
    const message = `at most ${LARGEST_BYTES} bytes`;
    throw new ProblemError(422, 'Invalid input', `One firmware has ${message}.`, [
      { field: 'settings.max_firmware_bytes', message },
    ]);
  }
  const { actor } = c.var.principal;
  const changed = await c.env.COORDINATOR.getByName('settings').changeSettings(version, change, actor);
  if (changed === undefined)
    throw new ProblemError(409, 'Settings changed meanwhile', 'Somebody else changed them: read them again.');
  await auditEntry(c.var.db, { actor, action: 'settings.change', subject: 'settings', detail: change });
  return changed;
}
