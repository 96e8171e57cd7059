/**
 * What the embedded broker must still know after it was killed, as a broker in the cloud does: the sessions, the
 * messages that wait for them, and those it is about to acknowledge. In memory as Aedes has it, and written through to
 * a file.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { Client, PublishPacket, Subscription } from 'aedes';
import MemoryPersistence from 'aedes-persistence/asyncPersistence.js';
import { z } from 'zod';

/** Whoever has not come for so long does not come back for it. */
const KEPT_S = 30 * 86_400;
const TABLES = `
  PRAGMA journal_mode = WAL;
  -- A killed process loses nothing of this; a laptop that loses its power may.
  PRAGMA synchronous = OFF;
  CREATE TABLE IF NOT EXISTS subscriptions (
    client_id TEXT, topic TEXT, qos INTEGER, at INTEGER DEFAULT (unixepoch()), PRIMARY KEY (client_id, topic)
  );
  CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY, client_id TEXT, topic TEXT, payload BLOB, at INTEGER DEFAULT (unixepoch())
  );`;

const subscriptionRow = z.object({ client_id: z.string(), topic: z.string(), qos: z.literal([0, 1, 2]) });
const waitingRow = z.object({
  id: z.int(),
  client_id: z.string(),
  topic: z.string(),
  payload: z.instanceof(Uint8Array),
});

type Packet = Parameters<MemoryPersistence['outgoingEnqueue']>[1];
/** Nothing else is ever enqueued. */
type Enqueued = Extract<Packet, { cmd: 'publish' }>;
type Session = Parameters<MemoryPersistence['outgoingEnqueue']>[0];
type RowId = number | bigint;

export class Sessions extends MemoryPersistence {
  readonly #db: DatabaseSync;
  readonly #may;
  readonly #insert;
  readonly #remove;
  /** Rows of messages that are accepted and not yet with every session, by their payload: Aedes copies all else. */
  readonly #accepted = new WeakMap<object, Map<string, RowId>>();
  /** Rows by session and message. */
  readonly #rows = new Map<string, RowId>();
  #commit: Promise<void> | undefined;

  /**
   * Opens the file, or makes it. Throws where it is none of ours, or damaged. Subscriptions are kept that `may` be: Aedes
   * would keep those too that it refuses.
   */
  constructor(file: string, may: (client: Client, topic: string) => boolean) {
    super();
    this.#may = may;
    // Commands carry signed addresses of firmware.
    if (file !== ':memory:') closeSync(openSync(file, 'a', 0o600));
    this.#db = new DatabaseSync(file);
    try {
      this.#db.exec(TABLES);
    } catch (error) {
      throw new Error(`${file}: ${String(error)}. Move it away: what waits for sessions goes with it`);
    }
    this.#insert = this.#db.prepare('INSERT INTO waiting (client_id, topic, payload) VALUES (?, ?, ?)');
    this.#remove = this.#db.prepare('DELETE FROM waiting WHERE id = ?');
  }

  override async setup(broker: unknown): Promise<void> {
    await super.setup(broker);
    for (const table of ['subscriptions', 'waiting'])
      this.#db.prepare(`DELETE FROM ${table} WHERE at < unixepoch() - ?`).run(KEPT_S);
    for (const row of this.#db.prepare('SELECT * FROM subscriptions').iterate()) {
      const { client_id, topic, qos } = subscriptionRow.parse(row);
      await super.addSubscriptions(session(client_id), [{ topic, qos }]);
    }
    for (const row of this.#db.prepare('SELECT * FROM waiting ORDER BY id').iterate()) {
      const { id, client_id, topic, payload } = waitingRow.parse(row);
      const packet = { ...message(topic, payload), brokerId: 'file', brokerCounter: id };
      await super.outgoingEnqueue({ clientId: client_id }, packet);
      this.#rows.set(nameOf(client_id, packet), id);
    }
  }

  /** Resolves when a message will reach every session, whatever becomes of this process: now it may be acknowledged. */
  async accept({ topic, payload }: PublishPacket): Promise<void> {
    const to = await this.subscriptionsByTopic(topic);
    if (to.length === 0) return;
    const committed = this.#write();
    const rows = to.map(({ clientId }) => [clientId, this.#add(clientId, topic, payload)] as const);
    // What comes over the wire is never a string.
    this.#accepted.set(payload as Buffer, new Map(rows));
    await committed;
  }

  /** Asked for whenever a session's client comes. */
  override async subscriptionsByClient(client: Client) {
    void this.#write();
    this.#db.prepare('UPDATE subscriptions SET at = unixepoch() WHERE client_id = ?').run(client.id);
    return super.subscriptionsByClient(client);
  }

  override async addSubscriptions(client: Client, asked: Subscription[]): Promise<void> {
    const subscriptions = asked.filter(({ topic }) => this.#may(client, topic));
    await super.addSubscriptions(client, subscriptions);
    const committed = this.#write();
    const insert = this.#db.prepare(
      'INSERT OR REPLACE INTO subscriptions (client_id, topic, qos) VALUES (?, ?, ?)',
    );
    for (const { topic, qos } of subscriptions) insert.run(client.id, topic, qos);
    await committed;
  }

  /** Ends the sessions whose client IDs begin so, with all that waits for them. */
  async end(prefix: string): Promise<void> {
    const ids = this.#db
      .prepare('SELECT DISTINCT client_id FROM subscriptions WHERE substr(client_id, 1, ?) = ?')
      .all(prefix.length, prefix);
    for (const { client_id } of ids) await this.#forget(session(String(client_id)));
    const committed = this.#write();
    this.#db.prepare('DELETE FROM waiting WHERE substr(client_id, 1, ?) = ?').run(prefix.length, prefix);
    await committed;
  }

  async #forget(client: Client): Promise<void> {
    await this.cleanSubscriptions(client);
    for await (const packet of this.outgoingStream(client))
      await super.outgoingClearMessageId(client, packet);
    for (const name of this.#rows.keys()) if (name.startsWith(`${client.id} `)) this.#rows.delete(name);
  }

  override async removeSubscriptions(client: Client, topics: string[]): Promise<void> {
    await super.removeSubscriptions(client, topics);
    const committed = this.#write();
    const remove = this.#db.prepare('DELETE FROM subscriptions WHERE client_id = ? AND topic = ?');
    for (const topic of topics) remove.run(client.id, topic);
    await committed;
  }

  override async cleanSubscriptions(client: Client): Promise<void> {
    await super.cleanSubscriptions(client);
    const committed = this.#write();
    this.#db.prepare('DELETE FROM subscriptions WHERE client_id = ?').run(client.id);
    await committed;
  }

  override async outgoingEnqueue(to: Session, packet: Packet): Promise<void> {
    await this.outgoingEnqueueCombi([to], packet);
  }

  override async outgoingEnqueueCombi(to: Session[], packet: Packet): Promise<void> {
    // Nobody is given more than that, also not when coming back: what is taken at QoS 2 is not held until it is durable.
    await super.outgoingEnqueueCombi(to, { ...(packet as Enqueued), qos: 1 });
    const { topic, payload } = packet as Enqueued;
    const accepted = this.#accepted.get(payload as Buffer) ?? new Map<string, RowId>();
    if (to.length > 0 || accepted.size > 0) void this.#write();
    for (const { clientId } of to) {
      const row = accepted.get(clientId) ?? this.#add(clientId, topic, payload);
      this.#rows.set(nameOf(clientId, packet), row);
      accepted.delete(clientId);
    }
    // Of sessions that ended in between.
    for (const row of accepted.values()) this.#remove.run(row);
  }

  override async outgoingClearMessageId(client: Client, packet: Packet): Promise<Packet> {
    const cleared: Packet | undefined = await super.outgoingClearMessageId(client, packet);
    const name = cleared === undefined ? '' : nameOf(client.id, cleared);
    const row = this.#rows.get(name);
    if (row !== undefined) {
      this.#rows.delete(name);
      void this.#write();
      this.#remove.run(row);
    }
    return cleared;
  }

  override async destroy(): Promise<void> {
    await this.#commit;
    this.#db.close();
    await super.destroy();
  }

  #add(clientId: string, topic: string, payload: string | Buffer): RowId {
    return this.#insert.run(clientId, topic, payload).lastInsertRowid;
  }

  /** Begins a transaction, or joins the one of this turn; resolves when it is on its way to the disk. */
  #write(): Promise<void> {
    if (this.#commit !== undefined) return this.#commit;
    this.#db.exec('BEGIN');
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#commit = promise;
    setImmediate(() => {
      this.#commit = undefined;
      this.#db.exec('COMMIT');
      resolve();
    });
    return promise;
  }
}

/** Of a session's client nothing but its name is looked at. */
const session = (id: string) => ({ id }) as Client;

const nameOf = (clientId: string, { brokerId, brokerCounter }: Packet): string =>
  `${clientId} ${brokerId} ${brokerCounter}`;

const message = (topic: string, payload: Uint8Array) => ({
  cmd: 'publish' as const,
  topic,
  payload: Buffer.from(payload),
  qos: 1 as const,
  retain: false,
  dup: false,
});
