/**
 * The update metadata as it is: what each role says now, kept in the object's storage, and the files that clients
 * read, in R2. Every file but `timestamp.json` is written once under its version.
 */
import { z } from 'zod';
import {
  canonicalBytes,
  envelope,
  openEnvelope,
  type PublicKey,
  type Root,
  root as rootSchema,
  type Snapshot,
  SPEC_VERSION,
  type Targets,
  type Timestamp,
  targets as targetsSchema,
} from '../../protocol/tuf.ts';
import type { Published } from './consistency.ts';
import { type OnlineKey, openOnlineKey } from './online-key.ts';

const DAY_MS = 86_400_000;
/** Online metadata is good for a week and signed again every day, so that a short outage freezes nobody. */
const ONLINE_MS = 7 * DAY_MS;

const versionOf = z.int().min(0).default(0);

export class Metadata {
  readonly #storage: DurableObjectStorage;
  readonly #bucket: R2Bucket;
  readonly #onlineKey: string;

  constructor(storage: DurableObjectStorage, bucket: R2Bucket, onlineKey: string) {
    this.#storage = storage;
    this.#bucket = bucket;
    this.#onlineKey = onlineKey;
  }

  /** Whether something was changed that the view does not show yet: a crash came between. */
  async isChanged(): Promise<boolean> {
    return (await this.#storage.get('changed')) === true;
  }

  /** When each role's metadata expires, in Unix seconds, by role. */
  async expiries(): Promise<Record<string, number>> {
    const top = await this.targets('targets');
    const view = await this.#storage.get<string>('view_expires');
    const seconds = (text: string) => Math.floor(Date.parse(text) / 1000);
    const found: Record<string, number> =
      view === undefined ? {} : { snapshot: seconds(view), timestamp: seconds(view) };
    const root = await this.root();
    if (root !== undefined) found.root = seconds(root.expires);
    for (const name of ['targets', ...(top?.delegations?.roles ?? []).map((role) => role.name)]) {
      const role = await this.targets(name);
      if (role !== undefined) found[name] = seconds(role.expires);
    }
    return found;
  }

  /**
   * Writes snapshot, then timestamp, for the roles as they are now. The timestamp comes last: a crash before it
   * leaves clients with the old view, which is whole, and the next call writes a new one.
   */
  async publishView(): Promise<void> {
    const [root, top] = [await this.root(), await this.targets('targets')];
    if (root === undefined || top === undefined) return;
    const online = await this.online();
    // A view that no client takes is worse than an old one.
    if (!trustsOnline(root, online))
      throw new Error(`root ${root.version} does not trust TUF_ONLINE_KEY with snapshot and timestamp`);
    const version = versionOf.parse(await this.#storage.get('view')) + 1;
    await this.#storage.put('view', version);
    // Those too that are trusted with nothing any more: clients refuse a snapshot in which a file is gone (TUF §5.5.5).
    const roles = await this.#storage.list<Targets>({ prefix: 'targets:' });
    const meta: Snapshot['meta'] = Object.fromEntries(
      [...roles].map(([key, role]) => [`${key.slice('targets:'.length)}.json`, { version: role.version }]),
    );
    const expires = expiry(Date.now() + ONLINE_MS);
    const common = { spec_version: SPEC_VERSION, version, expires };
    const snapshot: Snapshot = { _type: 'snapshot', ...common, meta };
    await this.store(`${version}.snapshot.json`, await sealed(online, snapshot));
    const timestamp: Timestamp = { _type: 'timestamp', ...common, meta: { 'snapshot.json': { version } } };
    await this.store('timestamp.json', await sealed(online, timestamp));
    await this.#storage.put({ changed: false, view_expires: expires });
    await this.#storage.setAlarm(Date.now() + DAY_MS);
  }

  /** Notes new metadata, and that the view does not show it yet. Both or neither. */
  async change(entries: Record<string, Root | Targets>): Promise<void> {
    await this.#storage.put({ ...entries, changed: true });
  }

  /** A role's metadata as it lies in R2, with its signatures. */
  async published(name: string): Promise<Published | undefined> {
    const role = await this.targets(name);
    if (role === undefined) return undefined;
    const file = await this.#bucket.get(`tuf/${role.version}.${name}.json`);
    if (file === null) throw new Error(`tuf/${role.version}.${name}.json has vanished from R2`);
    return { name, ...openEnvelope(new Uint8Array(await file.arrayBuffer()), targetsSchema) };
  }

  /** Metadata of every role that is or would be delegated to. */
  async publishedRoles(...tops: (Targets | undefined)[]): Promise<Published[]> {
    const names = new Set(tops.flatMap((top) => top?.delegations?.roles.map((role) => role.name) ?? []));
    const all = await Promise.all([...names].map((name) => this.published(name)));
    return all.filter((role) => role !== undefined);
  }

  async delegatedKeys(): Promise<Record<string, PublicKey>> {
    return (await this.targets('targets'))?.delegations?.keys ?? {};
  }

  async root(): Promise<Root | undefined> {
    return rootSchema.optional().parse(await this.#storage.get('root'));
  }

  async targets(role: string): Promise<Targets | undefined> {
    return targetsSchema.optional().parse(await this.#storage.get(`targets:${role}`));
  }

  online(): Promise<OnlineKey> {
    return openOnlineKey(this.#onlineKey);
  }

  async store(name: string, file: Uint8Array): Promise<void> {
    await this.#bucket.put(`tuf/${name}`, file);
  }

  async isStored(name: string, file: Uint8Array): Promise<boolean> {
    const stored = await this.#bucket.get(`tuf/${name}`);
    return stored !== null && Buffer.from(await stored.arrayBuffer()).equals(file);
  }
}

/** Whether clients of this root take what the online key signs. */
export const trustsOnline = ({ roles }: Root, online: OnlineKey): boolean =>
  roles.timestamp.keyids.includes(online.id) && roles.snapshot.keyids.includes(online.id);

async function sealed(key: OnlineKey, signed: object): Promise<Uint8Array> {
  const bytes = canonicalBytes(signed);
  return envelope(bytes, [await key.sign(bytes)]);
}

/** TUF times have no fractions of seconds (§4.2.2). */
export const expiry = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
