/**
 * What must be single and is small. One class, several objects by name: `settings` (the fleet's settings, told to
 * all who depend on them), `bridges` (leases of the bridges that are there), `cache` (what the cache has yet to
 * forget), and `attempts:…` (counted attempts, which must hold when every cache is down).
 */
import { DurableObject } from 'cloudflare:workers';
import { z } from 'zod';
import { BRIDGE_LEASE_S, type BridgeState } from '../../protocol/bridge.ts';
import type { Settings, SettingsChange, VersionedSettings } from '../../protocol/settings.ts';
import { SHARD_COUNT } from '../../protocol/shards.ts';
import { openCache } from '../../store/cache.ts';
import type { Env } from '../env.ts';
import { type Lease, Leases } from './leases.ts';
import { StoredSettings } from './settings.ts';
import { StaleKeys } from './stale-keys.ts';

const RETRY_MS = 2000;

export class Coordinator extends DurableObject<Env> {
  readonly #settings: StoredSettings;
  readonly #leases: Leases;
  readonly #staleKeys: StaleKeys;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#settings = new StoredSettings(ctx.storage);
    this.#leases = new Leases(ctx.storage.sql);
    this.#staleKeys = new StaleKeys(ctx.storage.sql);
  }

  async readSettings(): Promise<VersionedSettings> {
    return this.#settings.read();
  }

  /** The latest changes of the settings, newest first. */
  async settingsHistory(): Promise<SettingsChange[]> {
    return this.#settings.history();
  }

  /** Changes some settings; `undefined` where they are no longer at `version`. Whoever watches them is told. */
  async changeSettings(
    version: number,
    change: Partial<Settings>,
    actor: string,
  ): Promise<VersionedSettings | undefined> {
    const next = this.#settings.change(version, change, actor, new Date());
    if (next === undefined) return undefined;
    this.ctx.storage.kv.put('untold', true);
    await this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
    // A shard that cannot be told now is told by the alarm.
    await this.#tellAll(next).catch(() => undefined);
    return next;
  }

  /** Takes the WebSocket of somebody who watches the settings; the first message is a snapshot. */
  override async fetch(): Promise<Response> {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    server.send(JSON.stringify({ type: 'snapshot', ...this.#settings.read() }));
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(): void {
    // Watchers only listen.
  }

  override webSocketClose(socket: WebSocket): void {
    socket.close();
  }

  /** A bridge says that it is there; the answer is every bridge that is. */
  async renewLease(bridgeId: string, state: BridgeState): Promise<Lease[]> {
    const now = Date.now();
    this.#leases.renew(bridgeId, state, now, BRIDGE_LEASE_S * 1000);
    return this.#leases.live(now);
  }

  /** A bridge is going. */
  async releaseLease(bridgeId: string): Promise<void> {
    this.#leases.release(bridgeId);
  }

  /** There were bridges, and none is there now. */
  async isCutOff(): Promise<boolean> {
    return this.#leases.everAny && this.#leases.live(Date.now()).length === 0;
  }

  /** The bridges that are there. */
  async liveLeases(): Promise<Lease[]> {
    return this.#leases.live(Date.now());
  }

  /** Makes the cache forget these keys as soon as it answers again. Durable when it returns. */
  async forgetLater(keys: string[]): Promise<void> {
    this.#staleKeys.add(keys);
    this.ctx.storage.kv.put('stale', true);
    if ((await this.ctx.storage.getAlarm()) === null) {
      await this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
    }
  }

  /**
   * Counts an attempt. False where `limit` were made within the last `window_s` seconds already: such a one is
   * not counted, so that the door opens again by itself.
   */
  async attempt(limit: number, window_s: number): Promise<boolean> {
    const since = Date.now() - window_s * 1000;
    const made = z.array(z.number()).default([]).parse(this.ctx.storage.kv.get('attempts'));
    const recent = made.filter((at) => at > since);
    if (recent.length >= limit) return false;
    this.ctx.storage.kv.put('attempts', [...recent, Date.now()]);
    await this.ctx.storage.setAlarm(Date.now() + window_s * 1000);
    return true;
  }

  /** Forgets the attempts: one has succeeded. */
  async reset(): Promise<void> {
    this.ctx.storage.kv.delete('attempts');
  }

  /** Tries again what could not be told; a window of attempts that is over matters no more. */
  override async alarm(): Promise<void> {
    this.ctx.storage.kv.delete('attempts');
    let done = false;
    try {
      if (this.ctx.storage.kv.get('untold') === true) await this.#tellAll(this.#settings.read());
      done = await this.#settleStale();
    } finally {
      // An alarm that throws is retried a few times only, and what is down may be down for longer.
      if (!done) await this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
    }
  }

  async #settleStale(): Promise<boolean> {
    if (this.ctx.storage.kv.get('stale') !== true) return true;
    if (!(await this.#staleKeys.settle(openCache(this.env)))) return false;
    this.ctx.storage.kv.delete('stale');
    return true;
  }

  async #tellAll(current: VersionedSettings): Promise<void> {
    for (const socket of this.ctx.getWebSockets())
      socket.send(JSON.stringify({ type: 'update', ...current }));
    await Promise.all(
      Array.from({ length: SHARD_COUNT }, (_, n) =>
        this.env.FLEET_SHARD.getByName(`shard-${n}`).settingsChanged(current),
      ),
    );
    this.ctx.storage.kv.delete('untold');
  }
}
