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
  CREATE TABLE IF NOT EXISTS subscriptions (client_id TEXT, topic TEXT, qos INTEGER, PRIMARY KEY (client_id, topic));
  CREATE TABLE IF NOT EXISTS accepted (id INTEGER PRIMARY KEY, topic TEXT, payload BLOB);
  CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY, client_id TEXT, broker_id TEXT, counter INTEGER, topic TEXT, payload BLOB, qos INTEGER,
    at INTEGER DEFAULT (unixepoch()), UNIQUE (client_id, broker_id, counter)
  );`;

const subscriptionRow = z.object({ client_id: z.string(), topic: z.string(), qos: z.literal([0, 1, 2]) });
const acceptedRow = z.object({ id: z.int(), topic: z.string(), payload: z.instanceof(Uint8Array) });
const waitingRow = acceptedRow.omit({ id: true }).extend({
  client_id: z.string(),
  broker_id: z.string(),
  counter: z.int(),
  qos: z.literal([0, 1, 2]),
});

type Packet = Parameters<MemoryPersistence['outgoingEnqueue']>[1];
/** Nothing else is ever enqueued. */
type Enqueued = Extract<Packet, { cmd: 'publish' }>;
type Session = Parameters<MemoryPersistence['outgoingEnqueue']>[0];

export class Sessions extends MemoryPersistence {
  readonly #db: DatabaseSync;
  readonly #insert;
  readonly #remove;
  readonly #accept;
  readonly #finish;
  /** Rows of messages that are accepted and not yet with every session, by their payload: Aedes copies all else. */
  readonly #accepted = new WeakMap<object, number | bigint>();
  /** Which message a session has under which packet id. */
  readonly #sent = new Map<string, Packet>();
  #commit: Promise<void> | undefined;

  /** Opens the file, or makes it. */
  constructor(file: string) {
    super();
    // Commands carry signed addresses of firmware.
    if (file !== ':memory:') closeSync(openSync(file, 'a', 0o600));
    this.#db = new DatabaseSync(file);
    this.#db.exec(TABLES);
    this.#insert = this.#db.prepare(
      `INSERT INTO waiting (client_id, broker_id, counter, topic, payload, qos) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
    );
    this.#remove = this.#db.prepare(
      'DELETE FROM waiting WHERE client_id = ? AND broker_id = ? AND counter = ?',
    );
    this.#accept = this.#db.prepare('INSERT INTO accepted (topic, payload) VALUES (?, ?)');
    this.#finish = this.#db.prepare('DELETE FROM accepted WHERE id = ?');
  }

  override async setup(broker: unknown): Promise<void> {
    await super.setup(broker);
    for (const row of this.#db.prepare('SELECT * FROM subscriptions').iterate()) {
      const { client_id, topic, qos } = subscriptionRow.parse(row);
      await super.addSubscriptions(session(client_id), [{ topic, qos }]);
    }
    this.#db.prepare('DELETE FROM waiting WHERE at < unixepoch() - ?').run(KEPT_S);
    for (const row of this.#db.prepare('SELECT * FROM waiting ORDER BY id').iterate()) {
      const { client_id, broker_id, counter, topic, payload, qos } = waitingRow.parse(row);
      const packet = { ...message(topic, payload), qos, brokerId: broker_id, brokerCounter: counter };
      await super.outgoingEnqueue({ clientId: client_id }, packet);
    }
  }

  /** Resolves when a packet will reach every session, whatever becomes of this process: now it may be acknowledged. */
  async accept({ topic, payload }: PublishPacket): Promise<void> {
    const committed = this.#write();
    // What comes over the wire is never a string.
    this.#accepted.set(payload as Buffer, this.#accept.run(topic, payload).lastInsertRowid);
    await committed;
  }

  /** What was accepted, and not yet with every session when the process ended: to be published again. */
  unfinished(): PublishPacket[] {
    return this.#db
      .prepare('SELECT * FROM accepted ORDER BY id')
      .all()
      .map((row) => {
        const { id, topic, payload } = acceptedRow.parse(row);
        const packet = message(topic, payload);
        this.#accepted.set(packet.payload, id);
        return packet;
      });
  }

  override async addSubscriptions(client: Client, subscriptions: Subscription[]): Promise<void> {
    await super.addSubscriptions(client, subscriptions);
    const committed = this.#write();
    const insert = this.#db.prepare('INSERT OR REPLACE INTO subscriptions VALUES (?, ?, ?)');
    for (const { topic, qos } of subscriptions) insert.run(client.id, topic, qos);
    await committed;
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
    await super.outgoingEnqueueCombi(to, packet);
    const { brokerId, brokerCounter, topic, payload, qos } = packet as Enqueued;
    const accepted = this.#accepted.get(payload as Buffer);
    if (accepted === undefined && to.length === 0) return;
    void this.#write();
    for (const { clientId } of to) this.#insert.run(clientId, brokerId, brokerCounter, topic, payload, qos);
    if (accepted !== undefined) this.#finish.run(accepted);
  }

  override async outgoingUpdate(client: Client, packet: Packet): Promise<void> {
    await super.outgoingUpdate(client, packet);
    if (packet.cmd === 'publish') this.#sent.set(`${client.id} ${packet.messageId}`, packet);
  }

  override async outgoingClearMessageId(client: Client, packet: Packet): Promise<Packet> {
    const cleared = await super.outgoingClearMessageId(client, packet);
    const key = `${client.id} ${packet.messageId}`;
    const { brokerId, brokerCounter } = this.#sent.get(key) ?? {};
    this.#sent.delete(key);
    if (brokerId === undefined || brokerCounter === undefined) return cleared;
    void this.#write();
    this.#remove.run(client.id, brokerId, brokerCounter);
    return cleared;
  }

  override async destroy(): Promise<void> {
    await this.#commit;
    this.#db.close();
    await super.destroy();
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

const message = (topic: string, payload: Uint8Array) => ({
  cmd: 'publish' as const,
  topic,
  payload: Buffer.from(payload),
  qos: 1 as const,
  retain: false,
  dup: false,
});
