/** Who watches a campaign live: API clients get JSON, pages get fragments to put in place. At most 4 a second. */

import { campaignFragments } from '../../views/campaign-live.tsx';
import type { Snapshot } from './snapshot.ts';

const SPACING_MS = 250;

export class Watchers {
  readonly #ctx: DurableObjectState;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
  }

  /** Takes a WebSocket; its first message is how things stand. */
  accept(request: Request, snapshot: Snapshot | undefined): Response {
    if (request.headers.get('Upgrade') !== 'websocket') {
      return new Response('this is a WebSocket: connect with Upgrade: websocket', { status: 426 });
    }
    const url = new URL(request.url);
    const format = url.searchParams.get('format') === 'html' ? 'html' : 'json';
    const { 0: client, 1: server } = new WebSocketPair();
    const mayOperate = url.searchParams.get('operate') === '1';
    this.#ctx.acceptWebSocket(server, mayOperate ? [format, 'operate'] : [format]);
    if (snapshot !== undefined) server.send(this.#render(server, snapshot, 'snapshot'));
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Tells everybody, soon: what changes in quick succession is told once. */
  tell(look: () => Snapshot): void {
    if (this.#ctx.getWebSockets().length === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const latest = look();
      for (const socket of this.#ctx.getWebSockets()) socket.send(this.#render(socket, latest, 'update'));
    }, SPACING_MS);
  }

  #render(socket: WebSocket, snapshot: Snapshot, type: 'snapshot' | 'update'): string {
    const tags = this.#ctx.getTags(socket);
    return tags.includes('html')
      ? campaignFragments(snapshot, tags.includes('operate'))
      : JSON.stringify({ type, ...snapshot });
  }
}
