/**
 * Replacing keys, in steps each of which every device can follow: the new key is trusted beside the old one, what the
 * old one signed is signed anew, then the old one goes. Each step is a file; `skylark keys push` hands them over.
 */
import type { DelegatedRole, RoleKeys, Targets } from '../protocol/tuf.ts';
import { CommandFailed } from './api-client.ts';
import type { SigningKey } from './signing-key.ts';
import { ANY_MODEL, delegation, emptyTargets, mustBeRoleOfModel } from './tuf-keys.ts';
import { type Rotation, type RotationOptions, Workshop } from './tuf-workshop.ts';

const only = (role: RoleKeys, ...keys: SigningKey[]): RoleKeys => ({
  ...role,
  keyids: keys.map((key) => key.id),
});
const beside = (role: RoleKeys, key: SigningKey): RoleKeys => ({ ...role, keyids: [...role.keyids, key.id] });

/** A new root key in the place of one, or of the only one. Both must sign: without the old one, devices stay behind. */
export async function rotateRoot(options: RotationOptions, replaced?: string): Promise<Rotation> {
  const shop = await Workshop.open(options);
  const { keyids } = shop.root.roles.root;
  const gone = replaced === undefined ? keyids : keyids.filter((id) => id.startsWith(replaced));
  if (gone.length !== 1)
    throw new CommandFailed(`say which root key to replace: --replace with one of ${keyids.join(', ')}`);
  const key = await shop.newKey('root');
  await shop.writeRoot(({ keys, roles }) => ({
    keys: { ...keys, [key.id]: key.public },
    roles: {
      ...roles,
      root: { ...roles.root, keyids: keyids.map((id) => (id === gone[0] ? key.id : id)) },
    },
  }));
  return shop.rotation;
}

/** A new targets key. The old one is not needed. */
export async function rotateTargets(options: RotationOptions): Promise<Rotation> {
  const shop = await Workshop.open(options);
  const key = await shop.newKey('targets');
  const trust = (change: typeof only) =>
    shop.writeRoot(({ keys, roles }) => ({
      keys: { ...keys, [key.id]: key.public },
      roles: { ...roles, targets: change(roles.targets, key) },
    }));
  await trust(beside);
  shop.writeTargets((targets) => targets);
  await trust(only);
  return shop.rotation;
}

/** A new online key beside the old one; `finish` drops the old one, once the Worker has the new one. */
export async function rotateOnline(options: RotationOptions, finish: boolean): Promise<Rotation> {
  const shop = await Workshop.open(options);
  if (finish) {
    const last = (role: RoleKeys): RoleKeys => ({ ...role, keyids: role.keyids.slice(-1) });
    await shop.writeRoot(({ keys, roles }) => ({
      keys,
      roles: { ...roles, snapshot: last(roles.snapshot), timestamp: last(roles.timestamp) },
    }));
    return shop.rotation;
  }
  const key = await shop.newKey('online');
  await shop.writeRoot(({ keys, roles }) => ({
    keys: { ...keys, [key.id]: key.public },
    roles: { ...roles, snapshot: beside(roles.snapshot, key), timestamp: beside(roles.timestamp, key) },
  }));
  shop.rotation.todo.push(
    'push, then make the new key the secret TUF_ONLINE_KEY, then run "skylark keys rotate online --finish" and push again',
  );
  return shop.rotation;
}

/**
 * A new release key for a role; for the role of all models, in every role that has the same key. The old one is not
 * needed, and signs nothing from the last step on.
 */
export async function rotateRelease(options: RotationOptions, name: string): Promise<Rotation> {
  const shop = await Workshop.open(options);
  const all = shop.targets.delegations?.roles ?? [];
  const chosen = all.find((role) => role.name === name) ?? (name === ANY_MODEL ? ofSeveral(all) : undefined);
  if (chosen === undefined)
    throw new CommandFailed(
      `there is no role ${name}: say which of ${all.map((role) => role.name).join(', ')} gets a new key`,
    );
  const same = all.filter((role) => role.keyids.some((id) => chosen.keyids.includes(id)));
  const replaced = name === ANY_MODEL ? same : [chosen];
  const shared = replaced.find(({ threshold, keyids }) => threshold > 1 || keyids.length > 1);
  if (shared !== undefined)
    throw new CommandFailed(
      `role ${shared.name} has ${shared.keyids.length} keys, ${shared.threshold} of which must sign: this replaces the key of a role that has one`,
    );
  const names = new Set(replaced.map((role) => role.name));
  const published: [role: string, Targets][] = [];
  for (const role of names) published.push([role, (await shop.published(role))?.signed ?? emptyTargets(1)]);
  const key = await shop.newKey(name);
  const trust = (change: typeof only) =>
    shop.writeTargets(({ delegations = { keys: {}, roles: [] } }) => ({
      delegations: {
        keys: { ...delegations.keys, [key.id]: key.public },
        roles: delegations.roles.map((role) =>
          names.has(role.name) ? { ...role, ...change(role, key) } : role,
        ),
      },
    }));
  trust(beside);
  // Also where it has released nothing: a snapshot that lacks a role makes clients fail (TUF §5.6.7).
  for (const [role, metadata] of published)
    shop.writeRole(role, { ...metadata, version: shop.versionAfter(role, metadata) }, [key]);
  trust(only);
  return shop.rotation;
}

/** Where no role speaks for all models, the release key is the one that several have, or the only one. */
function ofSeveral(roles: readonly DelegatedRole[]): DelegatedRole | undefined {
  const groups = [...Map.groupBy(roles, ({ keyids }) => keyids.join()).values()];
  const [shared, ...others] = roles.length === 1 ? groups : groups.filter((group) => group.length > 1);
  return others.length === 0 ? shared?.[0] : undefined;
}

/** A role of its own for a model, with a key of its own. What was released for the model moves to it. */
export async function delegateModel(options: RotationOptions, model: string): Promise<Rotation> {
  mustBeRoleOfModel(model);
  const shop = await Workshop.open(options);
  const all = shop.targets.delegations?.roles ?? [];
  if (all.some((role) => role.name === model)) throw new CommandFailed(`model ${model} has a role already`);
  const before = (await shop.published(ANY_MODEL))?.signed;
  const own = Object.entries(before?.targets ?? {}).filter(([path]) => path.startsWith(`${model}/`));
  const key = await shop.newKey(model);
  const role = delegation(model, [key.id], model);
  const place = (arrange: (roles: DelegatedRole[]) => DelegatedRole[]) =>
    shop.writeTargets(({ delegations = { keys: {}, roles: [] } }) => ({
      delegations: {
        keys: { ...delegations.keys, [key.id]: key.public },
        roles: arrange(delegations.roles.filter((known) => known.name !== model)),
      },
    }));
  // Behind the role that has its releases now, or may get some: so it speaks for nothing before it has them too.
  place((roles) => [...roles, role]);
  // Also where it has none: a snapshot that lacks a role makes clients fail (TUF §5.6.7).
  const version = shop.versionAfter(model, before);
  const first = { ...(before ?? emptyTargets(version)), version, targets: Object.fromEntries(own) };
  shop.writeRole(model, first, [key]);
  place((roles) => [role, ...roles]);
  return shop.rotation;
}
