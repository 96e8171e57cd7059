import { describe, expect, it } from 'vitest';
import { campaignPolicy } from '../../protocol/api.ts';
import type { TargetDevice } from '../../store/campaign-targets.ts';
import type { Artifact, Definition } from './definition.ts';
import { hasVersion, newMember, nextStep } from './joining.ts';

const release = (version: string, min_version: string | null = null): Artifact => ({
  id: version,
  kind: 'firmware',
  model: 'TX-100',
  version,
  sha256: '',
  size_bytes: 1,
  min_version,
});
const to = (firmware: Artifact, ...steps: Artifact[]): Definition => ({
  id: 'c',
  name: 'c',
  target: {},
  policy: campaignPolicy.parse({}),
  firmware,
  steps,
});
const device = (more: Partial<TargetDevice> = {}): TargetDevice => ({
  id: 'd',
  serial_no: 'D1',
  model: 'TX-100',
  current_firmware: 'v1.0.0',
  target_version: null,
  apps: null,
  group: null,
  revoked: false,
  decommissioned: false,
  approved: true,
  gateway: null,
  time_zone: null,
  ...more,
});

describe('the way to a release', () => {
  const v3 = release('v3.0.0', 'v2.0.0');

  it('is direct where the device is new enough', () => {
    expect(nextStep(to(v3, release('v2.5.0')), 'v2.0.0')).toBe(v3);
    expect(nextStep(to(release('v2.0.0')), null)?.version).toBe('v2.0.0');
  });

  it('goes over the newest release that takes the device, as often as it must', () => {
    const definition = to(
      v3,
      release('v1.5.0'),
      release('v2.2.0', 'v1.5.0'),
      release('v1.2.0'),
      release('v9.0.0'),
    );
    expect(nextStep(definition, 'v1.0.0')?.version).toBe('v1.5.0');
    expect(nextStep(definition, 'v1.5.0')?.version).toBe('v2.2.0');
    expect(nextStep(definition, 'v2.2.0')).toBe(v3);
    expect(newMember(definition, device()).skip).toBeNull();
  });

  it('is closed where no release leads there, and the device is left out', () => {
    const definition = to(v3, release('v1.5.0'), release('v2.2.0', 'v1.8.0'));
    expect(newMember(definition, device()).skip).toMatchObject({ error: 'below_min_version' });
  });
});

describe('a device of the target', () => {
  it.each([
    ['other_model', { model: 'TX-200' }],
    ['revoked', { revoked: true }],
    ['decommissioned', { decommissioned: true }],
    ['not_approved', { approved: false }],
    ['has_version', { current_firmware: 'v2.0.0' }],
  ])('takes no part, and says why: %s', (error, more) => {
    expect(newMember(to(release('v2.0.0')), device(more)).skip).toMatchObject({ error });
  });

  it('that runs something newer goes back only where an operator has looked at it, or the target says so', () => {
    const newer = device({ current_firmware: 'v3.0.0' });
    const definition = to(release('v2.0.0'));
    const skip = (target: object) => newMember({ ...definition, target }, newer).skip?.error;
    expect(skip({ dynamic: true })).toBe('has_newer');
    expect(skip({ dynamic: true, fw_version: '> v2.0.0' })).toBeUndefined();
    expect(skip({})).toBeUndefined();
  });

  it('has its own time zone only where it is one', () => {
    const zone = (time_zone: string) => newMember(to(release('v2.0.0')), device({ time_zone })).zone;
    expect(zone('Europe/Berlin')).toBe('Europe/Berlin');
    expect(zone('Middle/Earth')).toBeNull();
  });
});

describe('an app', () => {
  const maps: Artifact = { ...release('v3', 'v1.0.0'), kind: 'app', name: 'maps' };
  const shown = (apps: Record<string, string>) => ({ current_firmware: 'v3', apps });

  it('counts as there only under its own name', () => {
    expect(hasVersion(maps, shown({ maps: 'v3' }))).toBe(true);
    expect(hasVersion(maps, shown({ maps: 'v2', radio: 'v3' }))).toBe(false);
    expect(hasVersion({ ...maps, name: 'constructor' }, shown({}))).toBe(false);
    expect(hasVersion({ ...maps, name: null }, shown({ radio: 'v3' }))).toBe(true);
  });

  it('goes to devices with the firmware it needs, whatever their version of it is', () => {
    const member = newMember(to(maps), device({ apps: { maps: 'v0.1' } }));
    expect(member).toMatchObject({ from_version: 'v0.1', skip: null });
    expect(nextStep(to(maps), member.from_version)).toBe(maps);
    expect(newMember(to(maps), device({ apps: { maps: 'v3' } })).skip?.error).toBe('has_version');
    expect(newMember(to(maps), device({ current_firmware: 'v0.9' })).skip?.error).toBe('below_min_version');
  });
});
