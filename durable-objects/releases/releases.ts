/**
 * The update metadata of the fleet: one object owns the version numbers and publishes one change at a time.
 * Files lie in R2; every one but `timestamp.json` is written once under its version.
 */
import { DurableObject } from 'cloudflare:workers';
import { z } from 'zod';
import type { Signatures } from '../../protocol/api.ts';
import {
  canonicalBytes,
  envelope,
  isSigned,
  openEnvelope,
  type PublicKey,
  type Root,
  roleForPath,
  root as rootSchema,
  type Snapshot,
  SPEC_VERSION,
  type Target,
  type TargetCustom,
  type Targets,
  type Timestamp,
  targets as targetsSchema,
} from '../../protocol/tuf.ts';
import type { Env } from '../env.ts';
import { type OnlineKey, openOnlineKey } from './online-key.ts';

const DAY_MS = 86_400_000;
/** Online metadata is good for a week and signed again every day, so that a short outage freezes nobody. */
const ONLINE_MS = 7 * DAY_MS;
const ROLE_MS = 365 * DAY_MS;

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
export type Refused = {
  refused: 'no_repository' | 'no_role' | 'stale' | 'bad_signature' | 'not_prepared';
  detail: string;
};

interface Draft {
  role: string;
  version: number;
  signed: string;
}

const versionOf = z.int().min(0).default(0);

export class Releases extends DurableObject<Env> {
  /** Publishing writes several files; the next one begins when the last has ended. */
  #turn: Promise<unknown> = Promise.resolve();

  /** Takes a root: the first one as it is signed by itself, later ones signed by their predecessor too (TUF §5.3). */
  async putRoot(file: Uint8Array): Promise<Refused | null> {
    return this.#alone(async () => {
      const next = openEnvelope(file, rootSchema);
      const current = await this.#root();
      if (current !== undefined && next.signed.version === current.version) {
        const same = await this.#isStored(`${current.version}.root.json`, file);
        return same
          ? null
          : refuse('stale', `root version ${current.version} is there already, with other contents`);
      }
      const expected = (current?.version ?? 0) + 1;
      if (next.signed.version !== expected) return refuse('stale', `the next root has version ${expected}`);
      for (const judge of current === undefined ? [next.signed] : [current, next.signed]) {
        if (!(await isSigned(next.bytes, next.signatures, judge.keys, judge.roles.root))) {
          return refuse(
            'bad_signature',
            `root ${expected} is not signed by enough keys of root ${judge.version}`,
          );
        }
      }
      const online = await this.#online();
      if (
        !next.signed.roles.timestamp.keyids.includes(online.id) ||
        !next.signed.roles.snapshot.keyids.includes(online.id)
      ) {
        return refuse('bad_signature', 'this root does not name the online key for snapshot and timestamp');
      }
      await this.#store(`${expected}.root.json`, file);
      await this.ctx.storage.put('root', next.signed);
      await this.#publishView();
      return null;
    });
  }

  /** Takes the top-level targets, signed offline: they say which role may speak for which model. */
  async putTargets(file: Uint8Array): Promise<Refused | null> {
    return this.#alone(async () => {
      const root = await this.#root();
      if (root === undefined) return refuse('no_repository', 'put the root first');
      const next = openEnvelope(file, targetsSchema);
      const current = await this.#targets('targets');
      if (
        current?.version === next.signed.version &&
        (await this.#isStored(`${current.version}.targets.json`, file))
      ) {
        return null;
      }
      if (next.signed.version <= (current?.version ?? 0)) {
        return refuse('stale', `the next targets have a version above ${current?.version}`);
      }
      if (!(await isSigned(next.bytes, next.signatures, root.keys, root.roles.targets))) {
        return refuse('bad_signature', 'not signed by enough targets keys of the root');
      }
      await this.#store(`${next.signed.version}.targets.json`, file);
      await this.ctx.storage.put('targets:targets', next.signed);
      await this.#publishView();
      return null;
    });
  }

  /**
   * The exact bytes to sign so that a release becomes part of the metadata: the next version of the role that
   * speaks for its path. Asked again they are the same, until another release takes that version.
   */
  async prepare(release: Release): Promise<Prepared> {
    const role = await this.#roleFor(release.path);
    if ('refused' in role) return role;
    const current = await this.#targets(role.name);
    const version = (current?.version ?? 0) + 1;
    const known = await this.#draft(release.firmware_id);
    const signed =
      known !== undefined && known.role === role.name && known.version === version
        ? known.signed
        : new TextDecoder().decode(canonicalBytes(withRelease(current, version, release, Date.now())));
    await this.ctx.storage.put(`draft:${release.firmware_id}`, {
      role: role.name,
      version,
      signed,
    } satisfies Draft);
    const { keyids, threshold } = role;
    return { role: role.name, keyids, threshold, bytes: new TextEncoder().encode(signed) };
  }

  /** Publishes a prepared release with the signatures made over its bytes. Published again, it is a success. */
  async publish(release: Release, { signatures }: Signatures): Promise<Refused | null> {
    return this.#alone(async () => {
      const role = await this.#roleFor(release.path);
      if ('refused' in role) return role;
      const current = await this.#targets(role.name);
      if (current?.targets[release.path]?.hashes.sha256 === release.sha256) return null;
      const draft = await this.#draft(release.firmware_id);
      if (draft?.role !== role.name) return refuse('not_prepared', 'ask for the bytes to sign first');
      if (draft.version !== (current?.version ?? 0) + 1) {
        return refuse('stale', 'another release took this version: ask for the bytes again and sign those');
      }
      const bytes = new Uint8Array(new TextEncoder().encode(draft.signed));
      if (!(await isSigned(bytes, signatures, await this.#delegatedKeys(), role))) {
        return refuse('bad_signature', `not signed by ${role.threshold} of the keys of role ${role.name}`);
      }
      await this.#store(`${draft.version}.${draft.role}.json`, envelope(bytes, signatures));
      await this.ctx.storage.put(`targets:${draft.role}`, targetsSchema.parse(JSON.parse(draft.signed)));
      await this.#publishView();
      await this.ctx.storage.delete(`draft:${release.firmware_id}`);
      return null;
    });
  }

  /** Signs snapshot and timestamp again before they expire. */
  override async alarm(): Promise<void> {
    await this.#alone(() => this.#publishView());
  }

  /**
   * Writes snapshot, then timestamp, for the roles as they are now. The timestamp comes last: a crash before it
   * leaves clients with the old view, which is whole, and the next call writes a new one.
   */
  async #publishView(): Promise<void> {
    const top = await this.#targets('targets');
    if ((await this.#root()) === undefined || top === undefined) return;
    const online = await this.#online();
    const version = versionOf.parse(await this.ctx.storage.get('view')) + 1;
    await this.ctx.storage.put('view', version);
    const meta: Snapshot['meta'] = { 'targets.json': { version: top.version } };
    for (const { name } of top.delegations?.roles ?? []) {
      const role = await this.#targets(name);
      if (role !== undefined) meta[`${name}.json`] = { version: role.version };
    }
    const common = { spec_version: SPEC_VERSION, version, expires: expiry(Date.now() + ONLINE_MS) };
    const snapshot: Snapshot = { _type: 'snapshot', ...common, meta };
    await this.#store(`${version}.snapshot.json`, await sealed(online, snapshot));
    const timestamp: Timestamp = { _type: 'timestamp', ...common, meta: { 'snapshot.json': { version } } };
    await this.env.FIRMWARE.put('tuf/timestamp.json', await sealed(online, timestamp));
    await this.ctx.storage.setAlarm(Date.now() + DAY_MS);
  }

  async #roleFor(path: string) {
    const top = await this.#targets('targets');
    if (top === undefined) {
      return refuse(
        'no_repository',
        'the update metadata has no root and targets yet: put them with the CLI',
      );
    }
    return roleForPath(top, path) ?? refuse('no_role', `no signing role is trusted with ${path}`);
  }

  async #delegatedKeys(): Promise<Record<string, PublicKey>> {
    return (await this.#targets('targets'))?.delegations?.keys ?? {};
  }

  async #root(): Promise<Root | undefined> {
    return rootSchema.optional().parse(await this.ctx.storage.get('root'));
  }

  async #targets(role: string): Promise<Targets | undefined> {
    return targetsSchema.optional().parse(await this.ctx.storage.get(`targets:${role}`));
  }

  async #draft(firmwareId: string): Promise<Draft | undefined> {
    return this.ctx.storage.get<Draft>(`draft:${firmwareId}`);
  }

  #online(): Promise<OnlineKey> {
    return openOnlineKey(this.env.TUF_ONLINE_KEY);
  }

  async #store(name: string, file: Uint8Array): Promise<void> {
    await this.env.FIRMWARE.put(`tuf/${name}`, file);
  }

  async #isStored(name: string, file: Uint8Array): Promise<boolean> {
    const stored = await this.env.FIRMWARE.get(`tuf/${name}`);
    return stored !== null && Buffer.from(await stored.arrayBuffer()).equals(file);
  }

  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.#turn.then(work, work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

const refuse = (refused: Refused['refused'], detail: string): Refused => ({ refused, detail });

/** A role's next metadata: what it had, and the release. */
function withRelease(current: Targets | undefined, version: number, release: Release, now: number): Targets {
  const target: Target = {
    length: release.length,
    hashes: { sha256: release.sha256 },
    custom: { ...release.custom, releaseCounter: version, rollbackFloor: 0 },
  };
  return {
    _type: 'targets',
    spec_version: SPEC_VERSION,
    version,
    expires: expiry(now + ROLE_MS),
    targets: { ...current?.targets, [release.path]: target },
  };
}

async function sealed(key: OnlineKey, signed: object): Promise<Uint8Array> {
  const bytes = canonicalBytes(signed);
  return envelope(bytes, [await key.sign(bytes)]);
}

/** TUF times have no fractions of seconds (§4.2.2). */
const expiry = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
