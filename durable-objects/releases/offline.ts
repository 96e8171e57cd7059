/** Metadata that is signed offline, as it comes in: verified, judged by what it would mean for devices, and taken. */
import { isSigned, openEnvelope, root as rootSchema, targets as targetsSchema } from '../../protocol/tuf.ts';
import { judgeForm, judgeRole, judgeRoot, judgeTargets } from './consistency.ts';
import { type Metadata, trustsOnline } from './metadata.ts';
import { type Refused, refuse } from './refused.ts';

/** Takes a root: the first one as it is signed by itself, later ones signed by their predecessor too (TUF §5.3). */
export async function takeRoot(metadata: Metadata, file: Uint8Array): Promise<Refused | null> {
  const next = openEnvelope(file, rootSchema);
  const current = await metadata.root();
  if (current !== undefined && next.signed.version === current.version) {
    if (await metadata.isStored(`${current.version}.root.json`, file)) return finish(metadata);
    return refuse('stale', `root version ${current.version} is there already, with other contents`);
  }
  const expected = (current?.version ?? 0) + 1;
  if (next.signed.version !== expected) return refuse('stale', `the next root has version ${expected}`);
  const unreadable = judgeForm(next.signed, Date.now());
  if (unreadable !== null) return unreadable;
  for (const judge of current === undefined ? [next.signed] : [current, next.signed]) {
    if (!(await isSigned(next.bytes, next.signatures, judge.keys, judge.roles.root))) {
      return refuse(
        'bad_signature',
        `root ${expected} is not signed by enough keys of root ${judge.version}`,
      );
    }
  }
  const online = await metadata.online();
  if (!trustsOnline(next.signed, online)) {
    return refuse('bad_signature', 'this root does not name the online key for snapshot and timestamp');
  }
  const broken = await judgeRoot(next.signed, await metadata.published('targets'));
  if (broken !== null) return broken;
  // Clients follow a root as soon as it is out: what they read then must be signed by a key it still trusts.
  if (current !== undefined && trustsOnline(current, online)) await metadata.publishView();
  await metadata.store(`${expected}.root.json`, file);
  await metadata.change({ root: next.signed });
  await metadata.publishView();
  return null;
}

/** Takes the top-level targets, signed offline: they say which role may speak for which model. */
export async function takeTargets(metadata: Metadata, file: Uint8Array): Promise<Refused | null> {
  const root = await metadata.root();
  if (root === undefined) return refuse('no_repository', 'put the root first');
  const next = openEnvelope(file, targetsSchema);
  const current = await metadata.targets('targets');
  if (
    current?.version === next.signed.version &&
    (await metadata.isStored(`${current.version}.targets.json`, file))
  ) {
    return finish(metadata);
  }
  if (next.signed.version <= (current?.version ?? 0)) {
    return refuse('stale', `the next targets have a version above ${current?.version}`);
  }
  const unreadable = judgeForm(next.signed, Date.now());
  if (unreadable !== null) return unreadable;
  if (!(await isSigned(next.bytes, next.signatures, root.keys, root.roles.targets))) {
    return refuse('bad_signature', 'not signed by enough targets keys of the root');
  }
  const broken = await judgeTargets(next.signed, await metadata.publishedRoles(next.signed, current));
  if (broken !== null) return broken;
  await metadata.store(`${next.signed.version}.targets.json`, file);
  await metadata.change({ 'targets:targets': next.signed });
  await metadata.publishView();
  return null;
}

/**
 * Takes a delegated role's metadata signed outside: signed anew because its key was replaced, or moved here from
 * another role. Releases are published with `publish`.
 */
export async function takeRole(metadata: Metadata, name: string, file: Uint8Array): Promise<Refused | null> {
  const role = (await metadata.targets('targets'))?.delegations?.roles.find((known) => known.name === name);
  if (role === undefined) return refuse('no_role', `no delegated role is called ${name}`);
  const next = openEnvelope(file, targetsSchema);
  const current = await metadata.targets(name);
  const { version } = next.signed;
  if (current?.version === version && (await metadata.isStored(`${version}.${name}.json`, file)))
    return finish(metadata);
  // A role that takes over from another goes on where that one's counters are.
  if (version <= (current?.version ?? 0)) {
    return refuse('stale', `the next metadata of ${name} has a version above ${current?.version}`);
  }
  const unreadable = judgeForm(next.signed, Date.now());
  if (unreadable !== null) return unreadable;
  if (!(await isSigned(next.bytes, next.signatures, await metadata.delegatedKeys(), role))) {
    return refuse('bad_signature', `not signed by ${role.threshold} of the keys of role ${name}`);
  }
  const broken = judgeRole(next.signed, current);
  if (broken !== null) return broken;
  await metadata.store(`${version}.${name}.json`, file);
  await metadata.change({ [`targets:${name}`]: next.signed });
  await metadata.publishView();
  return null;
}

/** What is there already may be in no view yet, where a crash came between. */
async function finish(metadata: Metadata): Promise<null> {
  if (await metadata.isChanged()) await metadata.publishView();
  return null;
}
