/** Who takes part in a campaign, and who has what it brings. Pure. */
import { isTimeZone } from '../../protocol/campaign-policy.ts';
import { compareVersions, sameVersion } from '../../protocol/version.ts';
import type { TargetDevice } from '../../store/campaign-targets.ts';
import type { Heard } from '../fleet-shard/messages.ts';
import type { Artifact, Definition } from './definition.ts';
import type { NewMember } from './members.ts';

/** Whether a device that was heard runs this. */
export function hasVersion(firmware: Artifact, heard: Heard): boolean {
  return firmware.kind === 'app'
    ? Object.values(heard.apps).some((version) => sameVersion(version, firmware.version))
    : sameVersion(heard.current_firmware, firmware.version);
}

/**
 * What a device that runs `version` gets next: the campaign's firmware, or where it is too old for that, the newest
 * release on the way that takes it. `undefined` where there is no way.
 */
export function nextStep({ firmware, steps }: Definition, version: string | null): Artifact | undefined {
  if (takes(firmware, version)) return firmware;
  if (version === null) return undefined;
  return steps
    .filter(
      (step) =>
        step.kind === firmware.kind &&
        compareVersions(step.version, version) > 0 &&
        compareVersions(step.version, firmware.version) < 0 &&
        takes(step, version),
    )
    .sort((a, b) => compareVersions(b.version, a.version))
    .at(0);
}

/** Whether there is a way from `version` to the campaign's firmware. */
function arrives(definition: Definition, version: string | null): boolean {
  let at = version;
  for (;;) {
    const next = nextStep(definition, at);
    if (next === undefined) return false;
    if (next === definition.firmware) return true;
    at = next.version;
  }
}

const takes = ({ min_version }: Artifact, version: string | null): boolean =>
  min_version === null || (version !== null && compareVersions(version, min_version) >= 0);

/** The device as a member of the campaign, or as one that takes no part, with the reason. */
export function newMember(definition: Definition, device: TargetDevice): NewMember {
  return {
    serial_no: device.serial_no,
    device_id: device.id,
    from_version: device.current_firmware,
    gateway: device.gateway,
    zone: device.time_zone !== null && isTimeZone(device.time_zone) ? device.time_zone : null,
    group: device.group,
    skip: whyNot(definition, device),
  };
}

function whyNot(definition: Definition, device: TargetDevice): NewMember['skip'] {
  const { firmware } = definition;
  const { current_firmware: from } = device;
  if (device.revoked) return { error: 'revoked', detail: 'its certificate is revoked' };
  if (!device.approved) return { error: 'not_approved', detail: 'it waits for approval' };
  if (firmware.kind === 'firmware' && from !== null && sameVersion(from, firmware.version)) {
    return { error: 'has_version', detail: 'the device has this version already' };
  }
  if (!arrives(definition, from)) {
    const needs = `needs at least ${firmware.min_version}, has ${from ?? 'nothing known'}`;
    return { error: 'below_min_version', detail: `${needs}, and no release leads there` };
  }
  return null;
}
