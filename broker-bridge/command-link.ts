/**
 * The road down: takes commands from the edge and confirms each when the broker has acknowledged it. It is open only
 * while the broker is connected: what cannot be published stays with the edge.
 */
import { WebSocket } from 'undici';
import { disconnectTopic, type LinkDown, type LinkUp, linkDown } from '../protocol/bridge.ts';
import type { EdgeAddress } from './edge-sender.ts';
import { log } from './log.ts';
import type { Publish } from './publish-queue.ts';
import { retryDelayMs } from './retry.ts';

const PING_MS = 20_000;
const CONNECT_MS = 10_000;
/** Confirmations travel together. */
const CONFIRM_MS = 10;
const CONFIRM_IDS = 100;
/** The edge sends far fewer before it waits for confirmations. */
const MAX_UNCONFIRMED = 10_000;

export interface LinkHandlers {
  /** Publishes at QoS 1, in the order of the calls; resolves when the broker has acknowledged it. */
  publish: Publish;
  changed(connected: boolean): void;
  /** A command that the broker did not take. */
  failed(): void;
}

export class CommandLink {
  readonly #edge: EdgeAddress;
  readonly #handlers: LinkHandlers;
  readonly #pingMs: number;
  #session: LinkSession | undefined;
  #wanted = false;
  #attempt = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(edge: EdgeAddress, handlers: LinkHandlers, pingMs = PING_MS) {
    this.#edge = edge;
    this.#handlers = handlers;
    this.#pingMs = pingMs;
  }

  get connected(): boolean {
    return this.#session?.open ?? false;
  }

  /** Connects, and again whenever the connection ends. */
  open(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempt = 0;
    this.#connect();
  }

  /** Ends the connection: the edge keeps what is not confirmed. */
  close(): void {
    this.#wanted = false;
    clearTimeout(this.#retry);
    this.#session?.end('closed');
  }

  #connect(): void {
    const session = new LinkSession(this.#edge, this.#handlers, this.#pingMs, {
      opened: () => {
        this.#attempt = 0;
        this.#handlers.changed(true);
      },
      ended: (reason, wasOpen) => {
        this.#session = undefined;
        if (wasOpen) this.#handlers.changed(false);
        if (!this.#wanted) return;
        log('warn', `no command link: ${reason}`);
        this.#retry = setTimeout(() => this.#connect(), retryDelayMs(this.#attempt, Math.random()));
        this.#attempt += 1;
      },
    });
    this.#session = session;
  }
}

interface SessionEvents {
  opened(): void;
  ended(reason: string, wasOpen: boolean): void;
}

/** One WebSocket from its opening to its end. */
class LinkSession {
  readonly #socket: WebSocket;
  readonly #handlers: LinkHandlers;
  readonly #events: SessionEvents;
  readonly #underway = new Set<string>();
  #timer: NodeJS.Timeout;
  #confirmed: string[] = [];
  #confirming: NodeJS.Timeout | undefined;
  #opened = false;
  #ended = false;

  constructor(edge: EdgeAddress, handlers: LinkHandlers, pingMs: number, events: SessionEvents) {
    this.#handlers = handlers;
    this.#events = events;
    const url = `${edge.url.replace(/^http/, 'ws')}/bridge/link`;
    this.#socket = new WebSocket(url, { headers: { Authorization: `Bearer ${edge.token}` } });
    this.#timer = setTimeout(() => this.end(`no answer within ${CONNECT_MS / 1000} s`), CONNECT_MS);
    this.#socket.addEventListener('open', () => {
      if (this.#ended) return;
      this.#opened = true;
      this.#pingAfter(pingMs);
      events.opened();
    });
    this.#socket.addEventListener('message', ({ data }: { data: unknown }) => {
      if (this.#ended) return;
      // Whatever comes, the other side is alive.
      this.#pingAfter(pingMs);
      if (data !== 'pong') this.#take(String(data));
    });
    this.#socket.addEventListener('error', (event) => this.end(reasonOf(event)));
    this.#socket.addEventListener('close', ({ code, reason }) =>
      this.end(`closed by the edge: ${code} ${reason}`),
    );
  }

  get open(): boolean {
    return !this.#ended && this.#socket.readyState === WebSocket.OPEN;
  }

  /** Ends it at once, without waiting for a side that may be dead. */
  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#confirming);
    this.#socket.close();
    this.#events.ended(reason, this.#opened);
  }

  #pingAfter(pingMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#socket.send('ping');
      this.#timer = setTimeout(() => this.end(`no answer to a ping within ${pingMs / 1000} s`), pingMs);
    }, pingMs);
  }

  #take(text: string): void {
    const message = linkDown.safeParse(readJson(text));
    if (!message.success) {
      log('error', 'the edge sent something else than a message of the command link');
    } else if (message.data.type === 'publish') {
      for (const one of message.data.messages) this.#publish(one);
      if (this.#underway.size > MAX_UNCONFIRMED) this.end('more commands than can be held');
    } else {
      for (const serial of message.data.serial_nos) this.#disconnect(serial);
    }
  }

  /** A command that fails is not confirmed, so the edge sends it again. */
  #publish({
    id,
    topic,
    payload,
    expires_at,
  }: Extract<LinkDown, { type: 'publish' }>['messages'][number]): void {
    // Sent again before the broker answered: once is enough.
    if (this.#underway.has(id)) return;
    this.#underway.add(id);
    this.#handlers
      .publish(topic, payload, expires_at)
      .then(
        () => this.#confirm(id),
        (error: unknown) => {
          this.#handlers.failed();
          log('warn', `a command was not published: ${String(error)}`, { topic: topic.slice(0, 200) });
        },
      )
      .finally(() => this.#underway.delete(id));
  }

  #disconnect(serial: string): void {
    this.#handlers.publish(disconnectTopic(serial), '').catch((error: unknown) => {
      log('warn', `the broker was not told to end a session: ${String(error)}`, { serial_no: serial });
    });
  }

  #confirm(id: string): void {
    if (this.#ended) return;
    this.#confirmed.push(id);
    if (this.#confirmed.length >= CONFIRM_IDS) this.#sendConfirmed();
    else this.#confirming ??= setTimeout(() => this.#sendConfirmed(), CONFIRM_MS);
  }

  #sendConfirmed(): void {
    clearTimeout(this.#confirming);
    this.#confirming = undefined;
    const ids = this.#confirmed.splice(0);
    if (this.open) this.#socket.send(JSON.stringify({ type: 'published', ids } satisfies LinkUp));
  }
}

const reasonOf = (event: { message?: string; error?: unknown }): string =>
  event.error instanceof Error ? event.error.message : event.message || 'it failed';

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
