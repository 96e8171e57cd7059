/**
 * What devices would see if a change became the view. Changes of keys are taken only in steps each of which every
 * client can follow: first the new key is trusted beside the old one, then metadata is signed with it, and only then
 * the old one goes. Pure but for the signatures.
 */
import {
  isSigned,
  type RoleKeys,
  type Root,
  roleForPath,
  type Signature,
  type Targets,
} from '../../protocol/tuf.ts';
import { type Refused, refuse } from './refused.ts';

/** Published metadata of a role, with the signatures it carries. */
export interface Published {
  name: string;
  signed: Targets;
  bytes: Uint8Array<ArrayBuffer>;
  signatures: Signature[];
}

/** Whether clients would take it at all: of a root they refuse no later one makes them go on (TUF §5.3). */
export function judgeForm(next: Root | Targets, now: number): Refused | null {
  const roles: readonly (readonly [name: string, role: RoleKeys])[] =
    next._type === 'root'
      ? Object.entries(next.roles)
      : (next.delegations?.roles ?? []).map((role) => [role.name, role]);
  const known = next._type === 'root' ? next.keys : next.delegations?.keys;
  if (Date.parse(next.expires) <= now) return refuse('would_break', `it has expired on ${next.expires}`);
  for (const [index, [name, { keyids, threshold }]] of roles.entries()) {
    if (roles.findIndex(([other]) => other === name) !== index)
      return refuse('would_break', `there are two roles called ${name}`);
    if (new Set(keyids).size !== keyids.length)
      return refuse('would_break', `role ${name} names a key twice`);
    if (keyids.some((id) => known?.[id] === undefined))
      return refuse('would_break', `role ${name} names a key that is not among the keys`);
    if (threshold > keyids.length)
      return refuse('would_break', `role ${name} wants ${threshold} signatures of ${keyids.length} keys`);
  }
  if (next._type === 'root' && Math.max(next.roles.snapshot.threshold, next.roles.timestamp.threshold) > 1)
    return refuse(
      'would_break',
      'Skylark signs snapshot and timestamp with one key, and this root wants more',
    );
  return null;
}

/** Whether the targets that are published stand under a new root. */
export async function judgeRoot(next: Root, top: Published | undefined): Promise<Refused | null> {
  if (top === undefined || (await isSigned(top.bytes, top.signatures, next.keys, next.roles.targets)))
    return null;
  return refuse(
    'would_break',
    `targets ${top.signed.version} is not signed by the targets keys of this root: trust the old key beside the new one, put targets signed by the new one, then drop the old one`,
  );
}

/** Whether everything that is published stays released, and properly signed, under new top-level targets. */
export async function judgeTargets(next: Targets, roles: readonly Published[]): Promise<Refused | null> {
  for (const { name, signed, bytes, signatures } of roles) {
    const role = next.delegations?.roles.find((known) => known.name === name);
    if (role !== undefined && !(await isSigned(bytes, signatures, next.delegations?.keys ?? {}, role))) {
      return refuse(
        'would_break',
        `role ${name} ${signed.version} is not signed by the keys it would have: trust the old key beside the new one, put the role's metadata signed by the new one, then drop the old one`,
      );
    }
    for (const [path, target] of Object.entries(signed.targets)) {
      const owner = roleForPath(next, path)?.name;
      const there = roles.find((known) => known.name === owner)?.signed.targets[path];
      if (there?.hashes.sha256 === target.hashes.sha256) continue;
      return refuse(
        'would_break',
        owner === undefined
          ? `${path} is released, and no role would be trusted with it`
          : `${path} is released by ${name}; put it into the metadata of role ${owner} first`,
      );
    }
  }
  return null;
}

/** Whether a role's metadata, signed anew offline, releases all that it released before. */
export function judgeRole(next: Targets, current: Targets | undefined): Refused | null {
  for (const [path, target] of Object.entries(current?.targets ?? {})) {
    if (next.targets[path]?.hashes.sha256 === target.hashes.sha256) continue;
    return refuse('would_break', `${path} is released by this role, and must stay with the same hash`);
  }
  return null;
}
