/** The road down: takes commands from the edge and confirms each when the broker has acknowledged it. */
import { WebSocket } from 'undici';
import { disconnectTopic, type LinkDown, linkDown } from '../protocol/bridge.ts';
import type { EdgeAddress } from './edge-sender.ts';
import { log } from './log.ts';
import { retryDelayMs } from './retry.ts';

const PING_MS = 20_000;

export interface LinkHandlers {
  /** Publishes at QoS 1; resolves when the broker has acknowledged it. */
  publish(topic: string, payload: string): Promise<void>;
  changed(connected: boolean): void;
}

export class CommandLink {
  readonly #edge: EdgeAddress;
  readonly #handlers: LinkHandlers;
  #socket: WebSocket | undefined;
  #attempt = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(edge: EdgeAddress, handlers: LinkHandlers) {
    this.#edge = edge;
    this.#handlers = handlers;
    this.#connect();
  }

  get connected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#socket?.close();
  }

  #connect(): void {
    const url = `${this.#edge.url.replace(/^http/, 'ws')}/bridge/link`;
    const socket = new WebSocket(url, { headers: { Authorization: `Bearer ${this.#edge.token}` } });
    this.#socket = socket;
    let answered = true;
    const ping = setInterval(() => {
      if (!answered) return socket.close();
      answered = false;
      if (socket.readyState === WebSocket.OPEN) socket.send('ping');
    }, PING_MS);
    socket.addEventListener('open', () => {
      this.#attempt = 0;
      this.#handlers.changed(true);
    });
    socket.addEventListener('message', ({ data }: { data: unknown }) => {
      answered = true;
      if (data !== 'pong') this.#take(socket, String(data));
    });
    socket.addEventListener('error', () => log('warn', 'the command link failed'));
    socket.addEventListener('close', () => {
      clearInterval(ping);
      this.#handlers.changed(false);
      if (this.#closed) return;
      this.#retry = setTimeout(() => this.#connect(), retryDelayMs(this.#attempt, Math.random()));
      this.#attempt += 1;
    });
  }

  #take(socket: WebSocket, text: string): void {
    const message = linkDown.safeParse(readJson(text));
    if (!message.success) {
      log('error', 'the edge sent something else than a message of the command link');
      return;
    }
    this.#perform(socket, message.data).catch((error: unknown) => {
      // Unconfirmed, it is sent again.
      log('warn', `a command was not published: ${String(error)}`);
    });
  }

  async #perform(socket: WebSocket, message: LinkDown): Promise<void> {
    if (message.type === 'disconnect') {
      await Promise.all(
        message.serial_nos.map((serial) => this.#handlers.publish(disconnectTopic(serial), '')),
      );
      return;
    }
    // Handed over in order, so that the broker has them in order; confirmed together.
    const ids = await Promise.all(
      message.messages.map(async ({ id, topic, payload }) => {
        await this.#handlers.publish(topic, payload);
        return id;
      }),
    );
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: 'published', ids }));
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
