/**
 * The update metadata of the fleet: one object owns the version numbers and publishes one change at a time.
 * Files lie in R2; every one but `timestamp.json` is written once under its version.
 */

import { DurableObject } from 'cloudflare:workers';
import type { FirmwareDescription, FirmwareDocument, Signatures } from '../../protocol/api.ts';
import {
  canonicalBytes,
  envelope,
  goodSignatures,
  MAX_METADATA_BYTES,
  roleForPath,
  type Target,
  type TargetCustom,
  targets as targetsSchema,
} from '../../protocol/tuf.ts';
import { openDatabase } from '../../store/connection.ts';
import {
  addFirmware,
  documentKey,
  type FirmwareRow,
  type StoredArtifact,
  setDocument,
} from '../../store/firmware.ts';
import { isWanted, wantedDocuments } from '../../store/firmware-upkeep.ts';
import type { Env } from '../env.ts';
import { Turns } from '../turns.ts';
import { type Draft, isAbout, isReleased, withRelease } from './draft.ts';
import { Metadata } from './metadata.ts';
import { takeRole, takeRoot, takeTargets } from './offline.ts';
import { type Refused, refuse } from './refused.ts';
import { deleteBytes, findBytes } from './stored-bytes.ts';
import { upkeep } from './upkeep.ts';

const RETRY_MS = 3_600_000;

/** What to add to the metadata. */
export interface Release {
  firmware_id: string;
  /** The target's path, `{model}/{version}.bin`. */
  path: string;
  length: number;
  sha256: string;
  custom: Omit<TargetCustom, 'releaseCounter' | 'rollbackFloor'>;
}

export type Prepared = { role: string; keyids: string[]; threshold: number; bytes: Uint8Array } | Refused;
export type { Refused } from './refused.ts';

export class Releases extends DurableObject<Env> {
  /** Publishing writes several files; the next one begins when the last has ended. */
  readonly #turns = new Turns();
  readonly #metadata: Metadata;
  /** Bytes are entered into the catalogue and dropped one after the other. */
  readonly #bytes = new Turns();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#metadata = new Metadata(ctx.storage, env.FIRMWARE, env.TUF_ONLINE_KEY);
  }

  /** Takes a root: the first one as it is signed by itself, later ones signed by their predecessor too (TUF §5.3). */
  async putRoot(file: Uint8Array): Promise<Refused | null> {
    return this.#turns.take(() => takeRoot(this.#metadata, file));
  }

  /** Takes the top-level targets, signed offline: they say which role may speak for which model. */
  async putTargets(file: Uint8Array): Promise<Refused | null> {
    return this.#turns.take(() => takeTargets(this.#metadata, file));
  }

  /**
   * Takes a delegated role's metadata signed outside: signed anew because its key was replaced, or moved here from
   * another role. Releases are published with {@link publish}.
   */
  async putRole(name: string, file: Uint8Array): Promise<Refused | null> {
    return this.#turns.take(() => takeRole(this.#metadata, name, file));
  }

  /** When each role's metadata expires, in Unix seconds, by role. */
  async expiries(): Promise<Record<string, number>> {
    return this.#metadata.expiries();
  }

  /**
   * The exact bytes to sign so that a release becomes part of the metadata: the next version of the role that
   * speaks for its path. Asked again they are the same, until another release takes that version.
   */
  async prepare(release: Release): Promise<Prepared> {
    const role = await this.#roleFor(release.path);
    if ('refused' in role) return role;
    const current = await this.#metadata.targets(role.name);
    const spent = await this.#spent(release, current?.targets[release.path]);
    if (spent !== null) return spent;
    const version = (current?.version ?? 0) + 1;
    const known = await this.#draft(release.firmware_id);
    const made = withRelease(current, version, release, Date.now());
    const signed =
      known?.role === role.name && known.version === version && isAbout(known.signed, release.path, made)
        ? known.signed
        : new TextDecoder().decode(canonicalBytes(made));
    const bytes = new TextEncoder().encode(signed);
    if (bytes.byteLength > MAX_METADATA_BYTES)
      return refuse(
        'full',
        `the metadata of role ${role.name} has no room for more releases: give models roles of their own with "skylark keys delegate"`,
      );
    await this.ctx.storage.put(`draft:${release.firmware_id}`, {
      role: role.name,
      version,
      signed,
    } satisfies Draft);
    const { keyids, threshold } = role;
    return { role: role.name, keyids, threshold, bytes };
  }

  /** Whether the metadata say all of this release already. */
  async isReleased(release: Release): Promise<boolean> {
    const role = await this.#roleFor(release.path);
    const current = 'refused' in role ? undefined : await this.#metadata.targets(role.name);
    return current !== undefined && isReleased(current, release);
  }

  /** Publishes a prepared release with the signatures made over its bytes. Published again, it is a success. */
  async publish(release: Release, { signatures }: Signatures): Promise<Refused | null> {
    return this.#turns.take(async () => {
      const role = await this.#roleFor(release.path);
      if ('refused' in role) return role;
      const current = await this.#metadata.targets(role.name);
      const spent = await this.#spent(release, current?.targets[release.path]);
      if (spent !== null) return spent;
      if (current !== undefined && isReleased(current, release)) {
        // After a crash its metadata may be stored, and the view still be the old one.
        if (await this.#metadata.isChanged()) await this.#metadata.publishView();
        return null;
      }
      const draft = await this.#draft(release.firmware_id);
      if (draft?.role !== role.name) return refuse('not_prepared', 'ask for the bytes to sign first');
      if (draft.version !== (current?.version ?? 0) + 1) {
        return refuse('stale', 'another release took this version: ask for the bytes again and sign those');
      }
      if (!isAbout(draft.signed, release.path, withRelease(current, draft.version, release, Date.now())))
        return refuse('stale', 'it was changed meanwhile: ask for the bytes again and sign those');
      const bytes = new Uint8Array(new TextEncoder().encode(draft.signed));
      const good = await goodSignatures(bytes, signatures, await this.#metadata.delegatedKeys(), role);
      if (good.length < role.threshold) {
        return refuse('bad_signature', `not signed by ${role.threshold} of the keys of role ${role.name}`);
      }
      await this.#metadata.store(`${draft.version}.${draft.role}.json`, envelope(bytes, good));
      await this.#metadata.change({
        [`targets:${draft.role}`]: targetsSchema.parse(JSON.parse(draft.signed)),
      });
      await this.#metadata.publishView();
      await this.ctx.storage.delete(`draft:${release.firmware_id}`);
      return null;
    });
  }

  /**
   * Enters stored bytes into the catalogue: `undefined` where their name is taken. The bytes are there, and nobody drops
   * them meanwhile; else the answer is `gone`.
   */
  async enter(
    description: FirmwareDescription,
    artifact: StoredArtifact,
    actor: string,
  ): Promise<FirmwareRow | 'gone' | undefined> {
    return this.#bytes.take(async () => {
      if ((await findBytes(this.env.FIRMWARE, artifact.sha256)) === undefined) return 'gone';
      return addFirmware(openDatabase(this.env), description, artifact, actor);
    });
  }

  /** Removes bytes that no firmware has and no upload is to have. */
  async dropUnwanted(sha256: string): Promise<void> {
    return this.#bytes.take(async () => {
      if (!(await isWanted(openDatabase(this.env), sha256))) await deleteBytes(this.env.FIRMWARE, sha256);
    });
  }

  /** Notes a stored document beside firmware: false where it is published with another, `gone` where it was dropped. */
  async noteDocument(id: string, document: FirmwareDocument, sha256: string): Promise<boolean | 'gone'> {
    return this.#bytes.take(async () => {
      if ((await this.env.FIRMWARE.head(documentKey(sha256))) === null) return 'gone';
      return setDocument(openDatabase(this.env), id, document, sha256);
    });
  }

  /** Removes those of these documents that no firmware has. */
  async dropDocuments(sha256s: readonly string[]): Promise<void> {
    return this.#bytes.take(async () => {
      const wanted = await wantedDocuments(openDatabase(this.env), sha256s);
      const keys = sha256s.filter((sha256) => !wanted.has(sha256)).map(documentKey);
      await this.env.FIRMWARE.delete(keys);
    });
  }

  /** Notes that a path was taken back: it is never released again, whatever becomes of its firmware. */
  async withdraw(path: string): Promise<void> {
    await this.ctx.storage.put(`withdrawn:${path}`, true);
  }

  override async alarm(): Promise<void> {
    await this.upkeep();
  }

  /**
   * Once a day: signs snapshot and timestamp before they expire, and does the rest of the daily care. What failed or
   * was too much for once goes on within the hour.
   */
  async upkeep(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
    try {
      await this.#turns.take(() => this.#metadata.publishView());
    } catch (error) {
      const msg = `snapshot and timestamp were not signed again: ${String(error)}`;
      console.error(JSON.stringify({ level: 'error', part: 'releases', msg }));
    }
    if (await upkeep(this.env)) await this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
  }

  async #roleFor(path: string) {
    const top = await this.#metadata.targets('targets');
    if (top === undefined) {
      return refuse(
        'no_repository',
        'the update metadata has no root and targets yet: put them with the CLI',
      );
    }
    return roleForPath(top, path) ?? refuse('no_role', `no signing role is trusted with ${path}`);
  }

  /** What was released under a path once stays what it is: some device may have it, or be about to. */
  async #spent({ path, sha256 }: Release, target: Target | undefined): Promise<Refused | null> {
    if ((await this.ctx.storage.get(`withdrawn:${path}`)) === true)
      return refuse('spent', `${path} was withdrawn for good: raise the version`);
    if (target === undefined || target.hashes.sha256 === sha256) return null;
    return refuse('spent', `${path} was released with other bytes: raise the version`);
  }

  async #draft(firmwareId: string): Promise<Draft | undefined> {
    return this.ctx.storage.get<Draft>(`draft:${firmwareId}`);
  }
}
