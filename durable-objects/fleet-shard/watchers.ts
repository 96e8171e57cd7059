/** Who watches a device: API clients get JSON, its page is told to fetch what changed. */
import { deviceChanged } from '../../views/device.tsx';

/** WebSockets are tagged with the serial number and this, for a page. */
const PAGE = '/page';

export class Watchers {
  readonly #ctx: DurableObjectState;

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
  }

  get any(): boolean {
    return this.#ctx.getWebSockets().length > 0;
  }

  /** Takes the WebSocket of a request; an API client is told at once how things stand. */
  accept(request: Request, serialNo: string, view: object): Response {
    const isPage = new URL(request.url).searchParams.get('format') === 'html';
    const { 0: client, 1: server } = new WebSocketPair();
    this.#ctx.acceptWebSocket(server, isPage ? [serialNo, PAGE] : [serialNo]);
    if (!isPage) server.send(JSON.stringify({ type: 'snapshot', ...view }));
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Tells those who watch this device. `look` is asked only when somebody does. */
  tell(serialNo: string, look: () => object): void {
    const sockets = this.#ctx.getWebSockets(serialNo);
    if (sockets.length === 0) return;
    const text = JSON.stringify({ type: 'update', ...look() });
    for (const socket of sockets) {
      socket.send(this.#ctx.getTags(socket).includes(PAGE) ? deviceChanged(serialNo) : text);
    }
  }
}
