/** The files and keys a rotation works with, and what it has made so far. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  isSigned,
  openEnvelope,
  type Root,
  type Targets,
  targets as targetsSchema,
} from '../protocol/tuf.ts';
import { CommandFailed } from './api-client.ts';
import { findKeys, generateKey, openSigningKey, readPem, type SigningKey } from './signing-key.ts';
import {
  fileOf,
  inDays,
  lacking,
  latestRoot,
  latestTargets,
  outTargets,
  versionsOf,
  writeSigned,
} from './tuf-files.ts';
import { ROOT_DAYS, TARGETS_DAYS } from './tuf-keys.ts';
import type { PublishedRole } from './tuf-push.ts';

export interface Rotation {
  /** The new key's file; `undefined` where none was made. */
  keyFile: string | undefined;
  /** Metadata written, in the order to push it. */
  files: string[];
  /** What is still to be done by people. */
  todo: string[];
}

export interface RotationOptions {
  directory: string;
  /** Keys that do not lie in the directory: PEM, or the file that holds it. */
  besides: string[];
  /** A role's published metadata; `undefined` where nothing was published by it. */
  published(role: string): Promise<PublishedRole | undefined>;
}

export class Workshop {
  readonly directory: string;
  readonly keys: Map<string, SigningKey>;
  readonly rotation: Rotation = { keyFile: undefined, files: [], todo: [] };
  readonly #read: RotationOptions['published'];

  private constructor({ directory, published }: RotationOptions, keys: Map<string, SigningKey>) {
    this.directory = directory;
    this.keys = keys;
    this.#read = published;
  }

  static async open(options: RotationOptions): Promise<Workshop> {
    return new Workshop(options, await findKeys(options.directory, options.besides));
  }

  /**
   * A role's published metadata; `undefined` where nothing was published by it. Throws where it is signed by nobody whom
   * targets of this directory trust with it, those that are out or come after them: what a server makes up, or who has a
   * key that was taken back, must not be signed anew.
   */
  async published(name: string): Promise<PublishedRole | undefined> {
    const found = await this.#read(name);
    if (found === undefined) return undefined;
    const out = outTargets(this.directory);
    for (const version of versionsOf(this.directory, 'targets').filter((known) => known >= out)) {
      const { delegations } = this.targetsOf(version);
      const role = delegations?.roles.find((known) => known.name === name);
      if (
        role !== undefined &&
        (await isSigned(found.bytes, found.signatures, delegations?.keys ?? {}, role))
      )
        return found;
    }
    throw new CommandFailed(
      `${found.signed.version}.${name}.json is out, and not signed by keys that targets in ${this.directory} trust with it: nothing was signed`,
    );
  }

  /** A version above all that there are of a role, here and `elsewhere`. */
  versionAfter(name: string, ...elsewhere: (Targets | undefined)[]): number {
    return Math.max(0, ...versionsOf(this.directory, name), ...elsewhere.map((one) => one?.version ?? 0)) + 1;
  }

  targetsOf(version: number): Targets {
    return openEnvelope(readFileSync(fileOf(this.directory, version, 'targets')), targetsSchema).signed;
  }

  get root(): Root {
    const found = latestRoot(this.directory);
    if (found === undefined) throw new CommandFailed(`there is no root in ${this.directory}: run keys init`);
    return found.signed;
  }

  get targets(): Targets {
    const found = latestTargets(this.directory);
    if (found === undefined)
      throw new CommandFailed(`there are no targets in ${this.directory}: run keys init`);
    return found.signed;
  }

  async newKey(name: string): Promise<SigningKey> {
    const file = join(this.directory, `${name}-${new Date().toISOString().slice(0, 10)}-${suffix()}.pem`);
    generateKey(file);
    const key = await openSigningKey(readPem(file));
    this.keys.set(key.id, key);
    this.rotation.keyFile = file;
    return key;
  }

  /** The next root, signed by the keys at hand of the one before and of itself. */
  async writeRoot(change: (root: Root) => Pick<Root, 'keys' | 'roles'>): Promise<void> {
    const before = this.root;
    const next: Root = {
      ...before,
      ...change(before),
      version: before.version + 1,
      expires: inDays(ROOT_DAYS),
    };
    const named = Object.values(next.roles).flatMap((role) => role.keyids);
    next.keys = Object.fromEntries(Object.entries(next.keys).filter(([id]) => named.includes(id)));
    const file = fileOf(this.directory, next.version, 'root');
    writeSigned(file, next, this.atHand([...before.roles.root.keyids, ...next.roles.root.keyids]));
    this.rotation.files.push(file);
    for (const judge of [before, next]) {
      const missing = await lacking(file, judge.keys, judge.roles.root);
      if (missing > 0)
        this.rotation.todo.push(
          `${file} needs ${missing} more signatures of root ${judge.version}: its holders run "skylark keys sign ${file}"`,
        );
    }
  }

  /** The next top-level targets, signed by the targets key. */
  writeTargets(change: (targets: Targets) => Partial<Targets>): void {
    const before = this.targets;
    const next = {
      ...before,
      ...change(before),
      version: before.version + 1,
      expires: inDays(TARGETS_DAYS),
    };
    const used = next.delegations?.roles.flatMap((role) => role.keyids) ?? [];
    if (next.delegations !== undefined) {
      const kept = Object.entries(next.delegations.keys).filter(([id]) => used.includes(id));
      next.delegations = { ...next.delegations, keys: Object.fromEntries(kept) };
    }
    const file = fileOf(this.directory, next.version, 'targets');
    const signers = this.atHand(this.root.roles.targets.keyids);
    if (signers.length < this.root.roles.targets.threshold)
      throw new CommandFailed('the targets key is needed: put it into --dir, or into SKYLARK_TARGETS_KEY');
    this.rotation.files.push(writeSigned(file, next, signers));
  }

  writeRole(name: string, metadata: Targets, signers: readonly SigningKey[]): void {
    const file = fileOf(this.directory, metadata.version, name);
    this.rotation.files.push(writeSigned(file, { ...metadata, expires: inDays(TARGETS_DAYS) }, signers));
  }

  /** Those of these keys that are here. */
  atHand(ids: readonly string[]): SigningKey[] {
    return ids.flatMap((id) => this.keys.get(id) ?? []);
  }
}

const suffix = (): string => Math.random().toString(36).slice(2, 8);
