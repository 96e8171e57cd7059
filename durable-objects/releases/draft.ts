/** A role's next metadata, before it is signed. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { SPEC_VERSION, type Target, type Targets, targets as targetsSchema } from '../../protocol/tuf.ts';
import { expiry } from './metadata.ts';
import type { Release } from './releases.ts';

const ROLE_MS = 365 * 86_400_000;

export interface Draft {
  role: string;
  version: number;
  signed: string;
}

/**
 * A role's next metadata: what it had, and the release. One that is there already, and gets another advisory, keeps its
 * counter: it is no newer than it was.
 */
export function withRelease(
  current: Targets | undefined,
  version: number,
  release: Release,
  now: number,
): Targets {
  const there = current?.targets[release.path];
  const before = there?.hashes.sha256 === release.sha256 ? there.custom?.releaseCounter : undefined;
  const target: Target = {
    length: release.length,
    hashes: { sha256: release.sha256 },
    custom: { ...release.custom, releaseCounter: before ?? version, rollbackFloor: 0 },
  };
  return {
    _type: 'targets',
    spec_version: SPEC_VERSION,
    version,
    expires: expiry(now + ROLE_MS),
    targets: { ...current?.targets, [release.path]: target },
  };
}

/** Whether a role says all of this release. */
export const isReleased = (current: Targets, release: Release): boolean =>
  isDeepStrictEqual(
    current.targets[release.path],
    withRelease(current, current.version, release, 0).targets[release.path],
  );

/** Whether a draft's bytes say the same of a path as what would be made now. */
export function isAbout(draft: string, path: string, made: Targets): boolean {
  const said = targetsSchema.parse(JSON.parse(draft)).targets[path];
  return said !== undefined && isDeepStrictEqual(said, made.targets[path]);
}
