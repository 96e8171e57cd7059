/** A new repository: the roles' keys, and the signed root and targets that trust them. */
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { model } from '../protocol/identifiers.ts';
import { type DelegatedRole, type Root, SPEC_VERSION, type Targets } from '../protocol/tuf.ts';
import { CommandFailed, WrongUsage } from './api-client.ts';
import { generateKey, openSigningKey, readPem, type SigningKey } from './signing-key.ts';
import { fileOf, inDays, latestRoot, latestTargets, versionsOf, writeSigned } from './tuf-files.ts';

export { generateKey, openSigningKey, type SigningKey } from './signing-key.ts';

export const ROOT_DAYS = 730;
export const TARGETS_DAYS = 365;
/** The role that speaks for every model that has none of its own. */
export const ANY_MODEL = 'release';

/** The roles' keys. `online` goes to the Worker as a secret, `release` to CI, the others to a safe. */
export const KEY_NAMES = ['root', 'targets', 'release', 'online'] as const;
export type KeyName = (typeof KEY_NAMES)[number];

export interface Repository {
  /** Where each key lies: PKCS#8 PEM, readable by its owner only. */
  keyFiles: Record<KeyName, string>;
  /** Of further root keys, for as many people. */
  moreRootFiles: string[];
  rootFile: string;
  targetsFile: string;
  /** The first, empty metadata of each role that speaks for models. */
  roleFiles: string[];
}

export interface RepositoryOptions {
  /** How many root keys there are, for as many people; 1 without. */
  rootKeys?: number;
  /** How many of them must sign a root; 1 without. */
  rootThreshold?: number;
  /** Models that get a role of their own. */
  models?: readonly string[];
  /** Whether a last role speaks for all other models; without, only where no model is named. */
  anyModel?: boolean;
  /** Keys that are not to lie in the directory: PEM, or the file that holds it. */
  given?: Partial<Record<KeyName, string>>;
}

/**
 * Makes whatever is missing in `directory`: the keys, `1.root.json`, `1.targets.json`, which trusts the release key with
 * the models, and `1.{role}.json` for each of them. What is there stays as it is.
 */
export async function initRepository(
  directory: string,
  options: RepositoryOptions = {},
): Promise<Repository> {
  const { rootKeys = 1, rootThreshold = 1, given = {}, models = [] } = options;
  if (rootThreshold < 1 || rootThreshold > rootKeys)
    throw new WrongUsage(`the threshold of the root is 1 to the number of its keys, ${rootKeys}`);
  for (const [i, name] of models.entries()) {
    mustBeRoleOfModel(name);
    if (models.indexOf(name) !== i) throw new WrongUsage(`model ${name} is named twice`);
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = (name: string) => join(directory, `${name}.pem`);
  const key = (name: KeyName) => openKey(file(name), given[name]);
  const [root, targets, release, online] = [
    await key('root'),
    await key('targets'),
    await key('release'),
    await key('online'),
  ];
  const moreRootFiles = Array.from({ length: rootKeys - 1 }, (_, i) => file(`root-${i + 2}`));
  const roots = [root, ...(await Promise.all(moreRootFiles.map((path) => openKey(path))))];
  const [rootFile, targetsFile] = [fileOf(directory, 1, 'root'), fileOf(directory, 1, 'targets')];
  if (!existsSync(rootFile)) writeSigned(rootFile, firstRoot(roots, rootThreshold, targets, online), roots);
  if (!existsSync(targetsFile)) writeSigned(targetsFile, firstTargets(release, options), [targets]);
  const roleFiles = writeFirstRoles(directory, release);
  const keyFiles = {
    root: file('root'),
    targets: file('targets'),
    release: file('release'),
    online: file('online'),
  };
  return { keyFiles, moreRootFiles, rootFile, targetsFile, roleFiles };
}

/** Throws where no role for a model can have this name. */
export function mustBeRoleOfModel(name: string): void {
  if (!model.safeParse(name).success)
    throw new WrongUsage(`"${name}" is no model: 1 to 64 characters of A-Z a-z 0-9 . _ -`);
  if (['root', 'targets', 'snapshot', 'timestamp', ANY_MODEL].includes(name))
    throw new WrongUsage(`a role called ${name} is there already, for something else`);
}

/**
 * Throws where a repository is there already, and is not what is asked for now, or lacks a key that would be made anew:
 * nothing trusts it then.
 */
export function mustBeAsBefore(directory: string, options: RepositoryOptions): void {
  const { rootKeys = 1, rootThreshold = 1, models = [], given = {} } = options;
  if (!existsSync(directory)) return;
  if (!statSync(directory).isDirectory()) throw new WrongUsage(`${directory} is no directory`);
  const [root, targets] = [latestRoot(directory)?.signed, latestTargets(directory)?.signed];
  const known = root?.roles.root;
  if (known !== undefined && (known.keyids.length !== rootKeys || known.threshold !== rootThreshold))
    throw new CommandFailed(
      `${directory} has a root of ${known.keyids.length} keys already, ${known.threshold} of which must sign: say the same, or begin in another directory`,
    );
  const roles = targets?.delegations?.roles.map((role) => role.name);
  const missing = models.filter((name) => roles?.includes(name) === false);
  if (missing.length > 0)
    throw new CommandFailed(
      `${directory} has targets already, without roles for ${missing.join(', ')}: add them with "skylark keys delegate"`,
    );
  for (const name of KEY_NAMES) {
    const isTrusted = (name === 'release' ? targets : root) !== undefined;
    if (isTrusted && given[name] === undefined && !existsSync(join(directory, `${name}.pem`)))
      throw new CommandFailed(
        `${name}.pem is not in ${directory}, where a repository is already that would not trust a new one: put it back, or replace it with "skylark keys rotate"`,
      );
  }
}

/** Throws where a key that is given is not the one a repository trusts that is there already. */
export async function mustBeTrusted(
  directory: string,
  given: Partial<Record<KeyName, string>>,
): Promise<void> {
  if (!existsSync(directory)) return;
  const [root, targets] = [latestRoot(directory)?.signed, latestTargets(directory)?.signed];
  const trusted = {
    root: root?.roles.root.keyids,
    targets: root?.roles.targets.keyids,
    online: root?.roles.timestamp.keyids,
    release: targets && Object.keys(targets.delegations?.keys ?? {}),
  };
  for (const name of KEY_NAMES) {
    const key = given[name];
    if (key === undefined || trusted[name] === undefined) continue;
    if (!trusted[name].includes((await openSigningKey(readPem(key))).id))
      throw new CommandFailed(
        `the ${name} key that is given is not the one that the repository in ${directory} trusts: replace that with "skylark keys rotate ${name}"`,
      );
  }
}

/** The key that is given, or else the one in the file, made where it is not there. */
async function openKey(file: string, given?: string): Promise<SigningKey> {
  if (given !== undefined) return openSigningKey(readPem(given));
  if (!existsSync(file)) generateKey(file);
  return openSigningKey(readFileSync(file, 'utf8'));
}

function firstRoot(roots: SigningKey[], threshold: number, targets: SigningKey, online: SigningKey): Root {
  const role = (key: SigningKey) => ({ keyids: [key.id], threshold: 1 });
  return {
    _type: 'root',
    spec_version: SPEC_VERSION,
    version: 1,
    expires: inDays(ROOT_DAYS),
    consistent_snapshot: true,
    keys: Object.fromEntries([...roots, targets, online].map((key) => [key.id, key.public])),
    roles: {
      root: { keyids: roots.map((key) => key.id), threshold },
      targets: role(targets),
      snapshot: role(online),
      timestamp: role(online),
    },
  };
}

/** A role that is trusted with one model's firmware, or with any. */
export const delegation = (name: string, keyids: string[], forModel = '*'): DelegatedRole => ({
  name,
  keyids,
  threshold: 1,
  paths: [`${forModel}/*`],
  terminating: true,
});

/** What a role says that has released nothing. */
export const emptyTargets = (version: number): Targets => ({
  _type: 'targets',
  spec_version: SPEC_VERSION,
  version,
  expires: inDays(TARGETS_DAYS),
  targets: {},
});

/**
 * Empty metadata for each role that has this key, before it has released anything: a snapshot that lacks a role makes
 * clients fail when they look for a target that role might have (TUF §5.6.7).
 */
function writeFirstRoles(directory: string, release: SigningKey): string[] {
  const roles = latestTargets(directory)?.signed.delegations?.roles ?? [];
  return roles.flatMap(({ name, keyids }) => {
    const file = fileOf(directory, 1, name);
    if (existsSync(file)) return [file];
    const isDue = keyids.includes(release.id) && versionsOf(directory, name).length === 0;
    return isDue ? [writeSigned(file, emptyTargets(1), [release])] : [];
  });
}

function firstTargets(release: SigningKey, { models = [], anyModel }: RepositoryOptions): Targets {
  const roles = models.map((name) => delegation(name, [release.id], name));
  if (anyModel ?? models.length === 0) roles.push(delegation(ANY_MODEL, [release.id]));
  return {
    ...emptyTargets(1),
    delegations: { keys: { [release.id]: release.public }, roles },
  };
}
