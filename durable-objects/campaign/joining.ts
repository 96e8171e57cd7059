/** Who takes part in a campaign, and who has what it brings. Pure. */
import { compareVersions, sameVersion } from '../../protocol/version.ts';
import type { Heard } from '../fleet-shard/messages.ts';
import type { Definition } from './definition.ts';
import type { NewMember } from './members.ts';

/** Whether a device that was heard runs what the campaign brings. */
export function hasVersion({ firmware }: Definition, heard: Heard): boolean {
  return firmware.kind === 'app'
    ? Object.values(heard.apps).some((version) => sameVersion(version, firmware.version))
    : sameVersion(heard.current_firmware, firmware.version);
}

/** The device as a member of the campaign, or as one that takes no part, with the reason. */
export function newMember(
  { firmware }: Definition,
  device: { id: string; serial_no: string; current_firmware: string | null },
): NewMember {
  const { current_firmware: from } = device;
  const has = firmware.kind === 'firmware' && from !== null && sameVersion(from, firmware.version);
  const tooOld =
    firmware.min_version !== null && (from === null || compareVersions(from, firmware.min_version) < 0);
  return {
    serial_no: device.serial_no,
    device_id: device.id,
    from_version: from,
    skip: has
      ? { error: 'has_version', detail: 'the device has this version already' }
      : tooOld
        ? {
            error: 'below_min_version',
            detail: `needs at least ${firmware.min_version}, has ${from ?? 'nothing known'}`,
          }
        : null,
  };
}
