/** Who takes part in a campaign, and who has what it brings. Pure. */
import { isTimeZone } from '../../protocol/campaign-policy.ts';
import { compareVersions, parseVersion, sameVersion } from '../../protocol/version.ts';
import type { TargetDevice } from '../../store/campaign-targets.ts';
import type { Heard } from '../fleet-shard/messages.ts';
import type { Artifact, Definition } from './definition.ts';
import type { NewMember } from './found.ts';
import { afterStep, type Change, isFinal, isStarted, type Member, skip } from './member.ts';
import { afterHeartbeat } from './member-reports.ts';

/** What a device shows of itself. */
type Shown = Pick<Heard, 'current_firmware' | 'apps'>;

/** Whether a device that was heard runs this. */
export function hasVersion(firmware: Artifact, shown: Shown): boolean {
  return versionsOf(firmware, shown).some((version) => sameVersion(version, firmware.version));
}

/** Whether a device that was brought to this runs again what it had before, or something older. */
export function isBackFrom(firmware: Artifact, from: string | null, shown: Shown): boolean {
  if (hasVersion(firmware, shown)) return false;
  return versionsOf(firmware, shown).some(
    (version) => (from !== null && sameVersion(version, from)) || isOlder(version, firmware.version),
  );
}

/** What a heartbeat of a member changes: it has arrived, at a step or at the end, or can be offered what it missed. */
export function afterHeard(definition: Definition, member: Member, heard: Heard, now: number): Change {
  const step = nextStep(definition, member.version);
  if (step !== undefined && step !== definition.firmware && hasVersion(step, heard)) {
    return afterStep(member, heard.current_firmware, now);
  }
  if (hasVersion(definition.firmware, heard)) return afterHeartbeat(member, true, now);
  if (
    definition.firmware.kind === 'app' ||
    heard.current_firmware === member.version ||
    isStarted(member.state)
  )
    return afterHeartbeat(member, false, now, heard.back);
  if (isOvertaken(definition, member.version, heard.current_firmware)) {
    return skip(member, 'superseded', overtakenBy(heard.current_firmware), now);
  }
  const { current_firmware: version } = heard;
  return isFinal(member.state)
    ? undefined
    : { version, from_version: version, ...afterHeartbeat(member, false, now, heard.back) };
}

/** Whether a device that had an older version than the campaign's when it joined has a newer one now. */
export function isOvertaken({ firmware }: Definition, before: string | null, now: string): boolean {
  return (
    firmware.kind === 'firmware' &&
    before !== null &&
    compareVersions(before, firmware.version) <= 0 &&
    compareVersions(now, firmware.version) > 0
  );
}

const overtakenBy = (version: string): string => `it has ${version} by now, which is newer`;

/** The versions a device shows of this: of its firmware, of one app, of any. */
function versionsOf({ kind, name }: Artifact, shown: Shown): string[] {
  if (kind === 'firmware') return [shown.current_firmware];
  if (name == null) return Object.values(shown.apps);
  return Object.hasOwn(shown.apps, name) ? [shown.apps[name] ?? ''] : [];
}

/**
 * What a device that runs `version` gets next: the campaign's firmware, or where it is too old for that, the newest
 * release on the way that takes it. `undefined` where there is no way.
 */
export function nextStep({ firmware, steps }: Definition, version: string | null): Artifact | undefined {
  // An app needs a firmware, which was looked at when the device joined; `version` is of the app.
  if (firmware.kind === 'app' || takes(firmware, version)) return firmware;
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
  if (definition.firmware.kind === 'app') return takes(definition.firmware, version);
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
    from_version: fromVersion(definition.firmware, device),
    gateway: device.gateway,
    zone: device.time_zone !== null && isTimeZone(device.time_zone) ? device.time_zone : null,
    group: device.group,
    skip: whyNot(definition, device),
  };
}

/** Whether a device runs something newer than this firmware. */
export const isNewer = (
  running: string | null,
  { kind, version }: Pick<Artifact, 'kind' | 'version'>,
): boolean => kind === 'firmware' && running !== null && isOlder(version, running);

/** Of two that are versions; what is none is neither older nor newer. */
const isOlder = (a: string, b: string): boolean =>
  [a, b].every((text) => parseVersion(text) !== undefined) && compareVersions(a, b) < 0;

/** What it has now of what the campaign brings; null where that cannot be told. */
function fromVersion(firmware: Artifact, device: TargetDevice): string | null {
  if (firmware.kind === 'firmware') return device.current_firmware;
  return firmware.name == null ? null : (versionsOf(firmware, shownBy(device))[0] ?? null);
}

const shownBy = ({ current_firmware, apps }: TargetDevice): Shown => ({
  current_firmware: current_firmware ?? '',
  apps: apps ?? {},
});

function whyNot(definition: Definition, device: TargetDevice): NewMember['skip'] {
  const { firmware, target } = definition;
  const { current_firmware: from } = device;
  if (device.model !== firmware.model) {
    return { error: 'other_model', detail: `it is a ${device.model}, the firmware is for ${firmware.model}` };
  }
  if (device.decommissioned) return { error: 'decommissioned', detail: 'it is out of service' };
  if (device.revoked) return { error: 'revoked', detail: 'its certificate is revoked' };
  if (!device.approved) return { error: 'not_approved', detail: 'it waits for approval' };
  if (hasVersion(firmware, shownBy(device))) {
    return { error: 'has_version', detail: 'the device has this version already' };
  }
  // Whoever comes later was not looked at by an operator.
  if (target.dynamic === true && target.fw_version === undefined && isNewer(from, firmware)) {
    return { error: 'has_newer', detail: `it has ${from}, which is newer than ${firmware.version}` };
  }
  if (!arrives(definition, from)) {
    const needs = `needs at least ${firmware.min_version}, has ${from ?? 'nothing known'}`;
    return { error: 'below_min_version', detail: `${needs}, and no release leads there` };
  }
  return null;
}
