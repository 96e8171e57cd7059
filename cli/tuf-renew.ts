/**
 * What stands in the way of new top-level targets: a role's releases that were published meanwhile are not signed by
 * the key that replaces another, or not with the role that takes them over. They are made, and signed, anew.
 */
import { type DelegatedRole, isSigned, roleForPath, type Targets } from '../protocol/tuf.ts';
import { CommandFailed } from './api-client.ts';
import type { PublishedRole, Renew } from './tuf-push.ts';
import { type RotationOptions, Workshop } from './tuf-workshop.ts';

/** The roles' published metadata, by name. */
type Published = Map<string, PublishedRole>;

/** Signs with the keys that the next targets trust, as far as they are in the directory or given besides. */
export const renewer =
  (options: RotationOptions): Renew =>
  async (left) => {
    const versions = left.flatMap((name) => /^(\d+)\.targets\.json$/.exec(name)?.[1] ?? []);
    if (versions.length === 0) return false;
    const shop = await Workshop.open(options);
    const next = shop.targetsOf(Math.min(...versions.map(Number)));
    const roles = next.delegations?.roles ?? [];
    const published: Published = new Map();
    for (const { name } of roles) {
      const found = await shop.published(name);
      if (found !== undefined) published.set(name, found);
    }
    for (const role of roles) await renewRole(shop, next, role, published);
    return shop.rotation.files.length > 0;
  };

/** Writes a role's next metadata, where what is published would not stand under the next targets. */
async function renewRole(
  shop: Workshop,
  next: Targets,
  role: DelegatedRole,
  published: Published,
): Promise<void> {
  const mine = published.get(role.name);
  const sources = [...published.values()].filter(({ signed }) => ownedBy(role, next, signed).length > 0);
  const missing = sources
    .flatMap(({ signed }) => ownedBy(role, next, signed))
    .filter(([path, { hashes }]) => mine?.signed.targets[path]?.hashes.sha256 !== hashes.sha256);
  const trusted =
    mine === undefined || (await isSigned(mine.bytes, mine.signatures, next.delegations?.keys ?? {}, role));
  const model = mine ?? sources[0];
  if (model === undefined || (missing.length === 0 && trusted)) return;
  const signers = shop.atHand(role.keyids);
  if (signers.length < role.threshold)
    throw new CommandFailed(
      `${role.name} has published meanwhile, and that must be signed by its new key: put the key into ${shop.directory} and push again`,
    );
  const version = shop.versionAfter(role.name, ...sources.map(({ signed }) => signed), mine?.signed);
  const targets = { ...mine?.signed.targets, ...Object.fromEntries(missing) };
  shop.writeRole(role.name, { ...model.signed, version, targets }, signers);
}

/** What of these releases the next targets trust this role with. */
const ownedBy = (role: DelegatedRole, next: Targets, { targets }: Targets) =>
  Object.entries(targets).filter(([path]) => roleForPath(next, path)?.name === role.name);
