/** The fleet in numbers, live: while somebody watches, the ledger is asked every two seconds and changes are told. */
import { DurableObject } from 'cloudflare:workers';
import { countCampaigns } from '../store/campaigns.ts';
import { type Database, openDatabase } from '../store/connection.ts';
import { countDevices } from '../store/devices.ts';
import type { Env } from './env.ts';

const LOOK_MS = 2000;

export class FleetStream extends DurableObject<Env> {
  readonly #db: Database;
  #told = '';

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#db = openDatabase(env);
  }

  /** Takes a watcher's WebSocket; the first message is a snapshot. */
  override async fetch(): Promise<Response> {
    const fleet = await this.#look();
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    server.send(JSON.stringify({ type: 'snapshot', ...fleet }));
    await this.ctx.storage.setAlarm(Date.now() + LOOK_MS);
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(): void {
    // Watchers only listen.
  }

  override webSocketClose(socket: WebSocket): void {
    socket.close();
  }

  override async alarm(): Promise<void> {
    const watchers = this.ctx.getWebSockets();
    if (watchers.length === 0) return;
    try {
      const fleet = await this.#look();
      const text = JSON.stringify(fleet);
      if (text !== this.#told)
        for (const socket of watchers) socket.send(JSON.stringify({ type: 'update', ...fleet }));
      this.#told = text;
    } finally {
      await this.ctx.storage.setAlarm(Date.now() + LOOK_MS);
    }
  }

  async #look() {
    const [devices, campaigns] = await Promise.all([countDevices(this.#db), countCampaigns(this.#db)]);
    return { devices, campaigns };
  }
}
