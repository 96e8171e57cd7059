/**
 * The road down: commands wait in an outbox until a bridge confirms that the broker has them. One bridge at a
 * time publishes, so each device's commands keep their order; when it goes, the next one takes over from the
 * first unconfirmed command on. A command sent twice carries the same `command_id`, and the device does it once.
 */
import { DurableObject } from 'cloudflare:workers';
import { type LinkDown, linkUp } from '../../protocol/bridge.ts';
import { openDatabase } from '../../store/connection.ts';
import type { Env } from '../env.ts';
import { recordExpired } from './expired.ts';
import { Outbox, type OutboxMessage } from './outbox.ts';

/** Most messages in one frame, and most sent but not yet confirmed. */
const FRAME = 100;
const WINDOW = 2000;
/** Unconfirmed for this long, commands are sent again. */
const RESEND_MS = 30_000;
/** A bridge confirms, or says `ping` after 20 s at most: one not heard from for this long hangs, or its line is dead. */
const SILENT_MS = 30_000;

/** The socket that publishes, and how far it was sent. */
interface Sending {
  socket: WebSocket;
  cursor: number;
  unconfirmed: Set<string>;
}

export class BrokerLink extends DurableObject<Env> {
  readonly #outbox: Outbox;
  /** Only in memory: after eviction, sending starts again at the beginning. */
  #sending: Sending | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#outbox = new Outbox(ctx.storage.sql);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'));
  }

  /** Takes a bridge's WebSocket; the caller has checked its credential. */
  override async fetch(): Promise<Response> {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    noteHeard(server);
    this.#send();
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Queues commands. Durable when it returns. */
  async enqueue(messages: OutboxMessage[]): Promise<void> {
    if (messages.length === 0) return;
    this.#outbox.add(messages);
    this.#send();
    await this.#wake();
  }

  /** Takes a campaign's commands back, as far as no bridge has confirmed them. */
  async withdraw(campaignId: string): Promise<void> {
    this.#outbox.withdraw(campaignId);
  }

  /** Has the broker end these devices' sessions: their certificates are revoked. */
  async disconnect(serialNos: string[]): Promise<void> {
    this.#tellAll({ type: 'disconnect', serial_nos: serialNos });
  }

  /** For metrics: how many commands wait, and how many bridges are connected. */
  async state(): Promise<{ waiting: number; bridges: number }> {
    return { waiting: this.#outbox.size, bridges: this.ctx.getWebSockets().length };
  }

  override async webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const message = linkUp.safeParse(readJson(data));
    if (!message.success) {
      socket.close(1003, 'not a message of the command link');
      return;
    }
    noteHeard(socket);
    this.#outbox.remove(message.data.ids);
    for (const id of message.data.ids) this.#sending?.unconfirmed.delete(id);
    this.#send();
  }

  override async webSocketClose(socket: WebSocket): Promise<void> {
    this.#drop(socket);
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    this.#drop(socket);
  }

  /** Sends again what was not confirmed, and forgets what has expired. */
  override async alarm(): Promise<void> {
    try {
      await this.#expire();
      this.#sending = undefined;
      this.#send();
    } finally {
      await this.#wake();
    }
  }

  async #expire(): Promise<void> {
    const expired = this.#outbox.expired(Date.now());
    // Noted first: a crash in between notes it once more, and that changes nothing.
    await recordExpired(openDatabase(this.env), expired);
    this.#outbox.remove(expired.map(({ id }) => id));
  }

  #send(): void {
    const sending = this.#publisher();
    if (sending === undefined) return;
    while (sending.unconfirmed.size < WINDOW) {
      const messages = this.#outbox.after(sending.cursor, FRAME);
      const last = messages.at(-1);
      if (last === undefined) return;
      sending.socket.send(JSON.stringify({ type: 'publish', messages } satisfies LinkDown));
      for (const { id } of messages) sending.unconfirmed.add(id);
      sending.cursor = Number(last.id);
    }
  }

  #publisher(): Sending | undefined {
    if (this.#sending?.socket.readyState === WebSocket.OPEN) return this.#sending;
    const open = this.ctx.getWebSockets().filter((s) => s.readyState === WebSocket.OPEN);
    const socket = open.find((s) => Date.now() - this.#heardAt(s) < SILENT_MS) ?? open[0];
    this.#sending = socket === undefined ? undefined : { socket, cursor: 0, unconfirmed: new Set() };
    return this.#sending;
  }

  /** Unix milliseconds. A `ping` is answered without waking anybody, and leaves its time. */
  #heardAt(socket: WebSocket): number {
    const noted: unknown = socket.deserializeAttachment();
    const pinged = this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    return Math.max(pinged, typeof noted === 'number' ? noted : 0);
  }

  #drop(socket: WebSocket): void {
    if (this.#sending?.socket === socket) this.#sending = undefined;
    this.#send();
  }

  #tellAll(message: LinkDown): void {
    for (const socket of this.ctx.getWebSockets()) socket.send(JSON.stringify(message));
  }

  async #wake(): Promise<void> {
    if (!this.#outbox.empty && (await this.ctx.storage.getAlarm()) === null) {
      await this.ctx.storage.setAlarm(Date.now() + RESEND_MS);
    }
  }
}

/** Kept with the socket, also while the object sleeps. */
const noteHeard = (socket: WebSocket): void => socket.serializeAttachment(Date.now());

function readJson(data: string | ArrayBuffer): unknown {
  try {
    return JSON.parse(typeof data === 'string' ? data : new TextDecoder().decode(data));
  } catch {
    return undefined;
  }
}
