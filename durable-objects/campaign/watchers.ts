/** Who watches a campaign live: API clients get JSON, pages get fragments to put in place. At most 4 a second. */

import { campaignFragments } from '../../views/campaign-live.tsx';
import type { LedgerSnapshot, Snapshot } from './snapshot.ts';

const SPACING_MS = 250;

export class Watchers {
  readonly #ctx: DurableObjectState;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
  }

  /** Takes a WebSocket; its first message is how things stand. */
  accept(request: Request, snapshot: Snapshot | LedgerSnapshot | undefined): Response {
    if (request.headers.get('Upgrade') !== 'websocket') {
      return new Response('this is a WebSocket: connect with Upgrade: websocket', { status: 426 });
    }
    const url = new URL(request.url);
    const format = url.searchParams.get('format') === 'html' ? 'html' : 'json';
    const { 0: client, 1: server } = new WebSocketPair();
    const mayOperate = url.searchParams.get('operate') === '1';
    this.#ctx.acceptWebSocket(server, mayOperate ? [format, 'operate'] : [format]);
    if (snapshot !== undefined && this.#isFor(server, snapshot)) {
      server.send(this.#render(server, snapshot, 'snapshot'));
    }
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Tells everybody, soon: what changes in quick succession is told once. */
  tell(look: () => Snapshot | LedgerSnapshot): void {
    if (this.#ctx.getWebSockets().length === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const latest = look();
      const rendered = new Map<string, string>();
      for (const socket of this.#ctx.getWebSockets()) {
        if (!this.#isFor(socket, latest)) continue;
        const key = this.#ctx.getTags(socket).join();
        const text = rendered.get(key) ?? this.#render(socket, latest, 'update');
        rendered.set(key, text);
        socket.send(text);
      }
    }, SPACING_MS);
  }

  /** A page of a campaign that has not begun shows more than fragments know, such as who has approved it. */
  #isFor(socket: WebSocket, { started_at }: Snapshot | LedgerSnapshot): boolean {
    return started_at !== null || this.#ctx.getTags(socket).includes('json');
  }

  #render(socket: WebSocket, snapshot: Snapshot | LedgerSnapshot, type: 'snapshot' | 'update'): string {
    const tags = this.#ctx.getTags(socket);
    return tags.includes('html')
      ? campaignFragments(snapshot, tags.includes('operate'))
      : JSON.stringify({ type, ...snapshot });
  }
}
