/** Who takes part in a campaign, and who has what it brings. Pure. */
import { compareVersions, sameVersion } from '../../protocol/version.ts';
import type { Heard } from '../fleet-shard/messages.ts';
import type { Definition } from './definition.ts';
import type { NewMember } from './members.ts';

/** Whether a device that was heard runs what the campaign brings. */
export function hasVersion({ firmware }: Definition, heard: Omit<Heard, 'serial_no'>): boolean {
  return versionsOf(firmware, heard).some((version) => sameVersion(version, firmware.version));
}

/** The versions a device shows of what the campaign is about: of its firmware, of one app, of any. */
function versionsOf({ kind, name }: Definition['firmware'], shown: Omit<Heard, 'serial_no'>): string[] {
  if (kind === 'firmware') return [shown.current_firmware];
  // Campaigns begun before apps had names have none.
  if (name == null) return Object.values(shown.apps);
  return Object.hasOwn(shown.apps, name) ? [shown.apps[name] ?? ''] : [];
}

/** The device as a member of the campaign, or as one that takes no part, with the reason. */
export function newMember(
  definition: Definition,
  device: {
    id: string;
    serial_no: string;
    current_firmware: string | null;
    apps: Record<string, string> | null;
  },
): NewMember {
  const { firmware } = definition;
  const { current_firmware: running } = device;
  const shown = { current_firmware: running ?? '', apps: device.apps ?? {} };
  const has = hasVersion(definition, shown);
  const tooOld =
    firmware.min_version !== null && (running === null || compareVersions(running, firmware.min_version) < 0);
  return {
    serial_no: device.serial_no,
    device_id: device.id,
    from_version: firmware.kind === 'firmware' ? running : oneVersion(firmware, shown),
    skip: has
      ? { error: 'has_version', detail: 'the device has this version already' }
      : tooOld
        ? {
            error: 'below_min_version',
            detail: `needs at least ${firmware.min_version}, has ${running ?? 'nothing known'}`,
          }
        : null,
  };
}

/** The version of an app that is there now; null where it is not, or cannot be told. */
function oneVersion(firmware: Definition['firmware'], shown: Omit<Heard, 'serial_no'>): string | null {
  return firmware.name == null ? null : (versionsOf(firmware, shown)[0] ?? null);
}
