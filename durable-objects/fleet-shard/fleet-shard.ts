/**
 * One sixteenth of the fleet, by hash of the serial number: who is online, what runs there, which campaigns wait
 * to hear from whom. Memory is a cache of the ledger: a shard that was evicted reads back what it needs.
 */
import { DurableObject } from 'cloudflare:workers';
import { type Database, openDatabase } from '../../store/connection.ts';
import { confirmSetting } from '../../store/device-configs.ts';
import { insertEvents, type NewDeviceEvent } from '../../store/device-events.ts';
import { type DeviceReport, findDevices, recordOffline, recordReports } from '../../store/devices.ts';
import { readSettings } from '../coordinator.ts';
import type { Env } from '../env.ts';
import type { DeviceMessage, Heard, Refusal, Reported } from './messages.ts';
import { isLate, isNews, isSilent, type Presence } from './presence.ts';
import { presenceOf, withHeartbeat } from './presence-rows.ts';
import { Watches } from './watches.ts';

const SWEEP_MS = 5_000;

export class FleetShard extends DurableObject<Env> {
  readonly #db: Database;
  readonly #watches: Watches;
  readonly #presence = new Map<string, Presence>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#db = openDatabase(env);
    this.#watches = new Watches(ctx.storage.sql);
    ctx.blockConcurrencyWhile(() => this.#remember());
  }

  /**
   * Takes device messages. When it returns, they are durable: changes in the ledger, reports with their campaigns.
   * Messages it had before change nothing. A crash in the middle leaves part of it written; the sender, without
   * an answer, sends all of it again. Answers the messages it had to refuse.
   */
  async ingest(messages: DeviceMessage[]): Promise<Refusal[]> {
    const refusals = await this.#meet(messages);
    const refused = new Set(refusals.map(({ index }) => index));
    const taken = messages.filter((_, index) => !refused.has(index));
    await this.#recordEvents(taken);
    await this.#tellCampaigns(taken);
    this.#tellWatchers(taken);
    await this.#keepSweeping();
    return refusals;
  }

  /** Takes the WebSocket of somebody who watches one device (`/stream/devices/{serial_no}`). */
  override async fetch(request: Request): Promise<Response> {
    const serial = new URL(request.url).pathname.split('/').at(-1) ?? '';
    await this.#load([serial]);
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, [serial]);
    server.send(JSON.stringify({ type: 'snapshot', ...this.#view(serial) }));
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(): void {
    // Watchers only listen.
  }

  /** What is known of these devices right now, to the second. */
  async look(serialNos: string[]): Promise<Record<string, { last_seen: number; online: boolean }>> {
    return Object.fromEntries(
      serialNos.flatMap((serial) => {
        const known = this.#presence.get(serial);
        return known === undefined ? [] : [[serial, { last_seen: known.last_seen, online: known.online }]];
      }),
    );
  }

  /** From now on the campaign hears of these devices' heartbeats. */
  async watch(campaignId: string, serialNos: string[]): Promise<void> {
    this.#watches.add(campaignId, serialNos);
  }

  /** The campaign has heard enough of these devices, or of all of them. */
  async unwatch(campaignId: string, serialNos?: string[]): Promise<void> {
    this.#watches.remove(campaignId, serialNos);
  }

  /** Something about these devices changed in the ledger by another hand: read it again when next needed. */
  async forget(serialNos: string[]): Promise<void> {
    for (const serial of serialNos) this.#presence.delete(serial);
    this.ctx.storage.sql.exec(
      'DELETE FROM online WHERE serial_no IN (SELECT value FROM json_each(?))',
      JSON.stringify(serialNos),
    );
  }

  /** True the first time a token is used, false ever after until it has expired (Unix seconds) anyway. */
  async useToken(serialNo: string, jti: string, exp: number): Promise<boolean> {
    const { sql } = this.ctx.storage;
    const now = Date.now() / 1000;
    sql.exec('DELETE FROM used_tokens WHERE exp < ?', now - 60);
    const added = sql.exec(
      'INSERT OR IGNORE INTO used_tokens (serial_no, jti, exp) VALUES (?, ?, ?) RETURNING 1',
      serialNo,
      jti,
      exp,
    );
    return added.toArray().length === 1;
  }

  /** Marks devices offline that have been silent for too long. */
  override async alarm(): Promise<void> {
    try {
      const { offline_after_s } = await readSettings(this.env);
      const now = Date.now();
      await this.#goOffline(
        [...this.#presence].filter(([, known]) => isSilent(known, now, offline_after_s * 1000)),
      );
    } finally {
      // An alarm that fails is retried a few times only, and the ledger may be away for longer.
      await this.#keepSweeping();
    }
  }

  /** Brings the ledger and memory up to date with heartbeats and last wills. Answers what it refused. */
  async #meet(messages: readonly DeviceMessage[]): Promise<Refusal[]> {
    await this.#load(messages.map((m) => m.serial_no));
    const news = new Map<string, DeviceReport>();
    for (const m of messages) {
      const known = this.#presence.get(m.serial_no);
      if (m.kind === 'heartbeat' && known?.revoked !== true && isNews(known, m.heartbeat, m.received_at)) {
        news.set(m.serial_no, {
          ...m.heartbeat,
          status: 'online',
          last_seen: new Date(m.received_at),
        });
      }
    }
    const rows = await recordReports(this.#db, [...news.values()]);
    for (const row of rows) {
      const came = this.#presence.get(row.serialNo)?.online !== true;
      this.#presence.set(row.serialNo, { ...presenceOf(row), online: true });
      if (came) this.#noteOnline(row.serialNo, true);
    }
    return this.#apply(messages);
  }

  async #apply(messages: readonly DeviceMessage[]): Promise<Refusal[]> {
    const refusals: Refusal[] = [];
    const gone: [string, Presence][] = [];
    for (const [index, m] of messages.entries()) {
      const known = this.#presence.get(m.serial_no);
      if (known === undefined) {
        refusals.push({ index, reason: 'no such device: it registers itself with its first heartbeat' });
      } else if (known.revoked) {
        refusals.push({ index, reason: 'the device is revoked' });
      } else if (m.kind === 'heartbeat') {
        if (!isLate(known, m.heartbeat)) {
          this.#presence.set(m.serial_no, withHeartbeat(known, m.heartbeat, m.received_at));
        }
      } else if (m.kind === 'offline') {
        gone.push([m.serial_no, known]);
      } else {
        known.last_seen = Math.max(known.last_seen, m.received_at);
      }
    }
    await this.#goOffline(gone.filter(([, known]) => known.online));
    return refusals;
  }

  async #goOffline(devices: readonly [string, Presence][]): Promise<void> {
    await recordOffline(
      this.#db,
      devices.map(([serial]) => serial),
      devices.map(([, known]) => new Date(known.last_seen)),
    );
    for (const [serial, known] of devices) {
      known.online = false;
      this.#noteOnline(serial, false);
      const text = JSON.stringify({ type: 'update', ...this.#view(serial) });
      for (const socket of this.ctx.getWebSockets(serial)) socket.send(text);
    }
  }

  async #recordEvents(messages: readonly DeviceMessage[]): Promise<void> {
    const events: NewDeviceEvent[] = [];
    const settings = [];
    for (const m of messages) {
      const known = this.#presence.get(m.serial_no);
      if (known === undefined) continue;
      const event = { id: m.digest, device_id: known.device_id };
      if (m.kind === 'report' && !isProgress(m.report)) {
        events.push({ ...event, at: new Date(m.report.timestamp * 1000), kind: 'update', detail: m.report });
      } else if (m.kind === 'notify') {
        const { timestamp, ...detail } = m.notification;
        const at = new Date(timestamp * 1000);
        events.push({ ...event, at, kind: 'setting', detail });
        settings.push(
          confirmSetting(this.#db, {
            device_id: known.device_id,
            key: detail.setting_changed,
            value: detail.new_value,
            at,
          }),
        );
      }
    }
    if (events.length === 0) return;
    await this.#db.batch([insertEvents(this.#db, events), ...settings]);
  }

  async #tellCampaigns(messages: readonly DeviceMessage[]): Promise<void> {
    const heard = new Map<string, Heard[]>();
    const reported = new Map<string, Reported[]>();
    for (const m of messages) {
      if (m.kind === 'heartbeat') {
        const { current_firmware, apps = {} } = m.heartbeat;
        for (const campaign of this.#watches.of(m.serial_no)) {
          push(heard, campaign, { serial_no: m.serial_no, current_firmware, apps });
        }
      } else if (m.kind === 'report') {
        push(reported, m.report.campaign_id, { serial_no: m.serial_no, report: m.report });
      }
    }
    const campaign = (id: string) => this.env.CAMPAIGN.getByName(id);
    await Promise.all([...reported].map(([id, items]) => campaign(id).report(items)));
    await Promise.all([...heard].map(([id, items]) => campaign(id).hear(items)));
  }

  /** Every message of a device that somebody watches, with how it stands after it. */
  #tellWatchers(messages: readonly DeviceMessage[]): void {
    if (this.ctx.getWebSockets().length === 0) return;
    for (const { serial_no, received_at: _at, digest: _digest, ...said } of messages) {
      const text = JSON.stringify({ type: 'update', ...this.#view(serial_no), message: said });
      for (const socket of this.ctx.getWebSockets(serial_no)) socket.send(text);
    }
  }

  #view(serialNo: string) {
    const known = this.#presence.get(serialNo);
    return {
      serial_no: serialNo,
      status: known?.online === true ? 'online' : 'offline',
      current_firmware: known?.current_firmware ?? null,
      last_seen:
        known === undefined || known.last_seen === 0 ? null : new Date(known.last_seen).toISOString(),
    };
  }

  async #load(serialNos: readonly string[]): Promise<void> {
    const unknown = [...new Set(serialNos)].filter((serial) => !this.#presence.has(serial));
    for (const row of await findDevices(this.#db, unknown)) {
      if (!this.#presence.has(row.serialNo)) this.#presence.set(row.serialNo, presenceOf(row));
    }
  }

  #noteOnline(serial: string, online: boolean): void {
    this.ctx.storage.sql.exec(
      online
        ? 'INSERT OR IGNORE INTO online (serial_no) VALUES (?)'
        : 'DELETE FROM online WHERE serial_no = ?',
      serial,
    );
  }

  /** After eviction: the devices that were online get a fresh patience, since nobody listened meanwhile. */
  async #remember(): Promise<void> {
    const { sql } = this.ctx.storage;
    sql.exec('CREATE TABLE IF NOT EXISTS online (serial_no TEXT PRIMARY KEY) WITHOUT ROWID');
    sql.exec(`CREATE TABLE IF NOT EXISTS used_tokens
      (serial_no TEXT, jti TEXT, exp INTEGER, PRIMARY KEY (serial_no, jti)) WITHOUT ROWID`);
    const online = sql.exec<{ serial_no: string }>('SELECT serial_no FROM online').toArray();
    await this.#load(online.map((row) => row.serial_no));
    for (const known of this.#presence.values()) known.last_seen = Date.now();
  }

  async #keepSweeping(): Promise<void> {
    const anybody = [...this.#presence.values()].some((known) => known.online);
    if (anybody && (await this.ctx.storage.getAlarm()) === null) {
      await this.ctx.storage.setAlarm(Date.now() + SWEEP_MS);
    }
  }
}

/** A mere percentage: it is shown live and not kept. */
function isProgress(report: Reported['report']): boolean {
  return report.status === 'downloading' && (report.progress ?? 0) > 0;
}

function push<Item>(lists: Map<string, Item[]>, key: string, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}
