/**
 * One sixteenth of the fleet, by hash of the serial number: who is online, what runs there, which campaigns wait
 * to hear from whom. A heartbeat that changes nothing touches memory only.
 */
import { DurableObject } from 'cloudflare:workers';
import { type VersionedSettings, versionedSettings } from '../../protocol/settings.ts';
import { cacheKey } from '../../store/cache.ts';
import { type Database, openDatabase } from '../../store/connection.ts';
import {
  changedBy,
  type DeviceReport,
  recordLastSeen,
  recordOffline,
  recordReports,
} from '../../store/device-reports.ts';
import { findDevices } from '../../store/devices.ts';
import { readSettings } from '../coordinator/settings.ts';
import { invalidate } from '../coordinator/stale-keys.ts';
import type { Env } from '../env.ts';
import { Turns } from '../turns.ts';
import { CachedDevices } from './cached-devices.ts';
import { tellCampaigns } from './campaigns.ts';
import { DeletedDevices } from './deleted-devices.ts';
import { EarlyMessages, rejectExpired } from './early-messages.ts';
import { recordEvents } from './events.ts';
import { type LiveDevice, liveOf, type ShownDevice, shownOf, viewOf } from './live-device.ts';
import type { DeviceMessage, HeartbeatMessage, Refusal, SingleMessage } from './messages.ts';
import { isBehind, isLate, isNews, type Presence, recordAfter, recordOf, saidAt } from './presence.ts';
import { Presences } from './presences.ts';
import { SetBackClocks } from './set-back-clocks.ts';
import { Uplinks } from './uplinks.ts';
import { UsedTokens } from './used-tokens.ts';
import { Watchers } from './watchers.ts';
import { type Claimed, type Contender, Watches } from './watches.ts';

/** Rows of a bulk statement for the ledger's coarse `last_seen`. */
const COARSE_ROWS = 500;

export class FleetShard extends DurableObject<Env> {
  readonly #db: Database;
  readonly #cached: CachedDevices;
  readonly #watches: Watches;
  readonly #watchers: Watchers;
  readonly #usedTokens: UsedTokens;
  readonly #uplinks: Uplinks;
  readonly #deleted: DeletedDevices;
  readonly #early: EarlyMessages;
  readonly #clocks: SetBackClocks;
  /** The ledger is written by one at a time, so that what is written last is what happened last. */
  readonly #turns = new Turns();
  #presences: Presences;
  #approveFirst = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sql, kv } = ctx.storage;
    this.#db = openDatabase(env);
    this.#cached = new CachedDevices(env);
    this.#watches = new Watches(sql);
    this.#watchers = new Watchers(ctx);
    this.#usedTokens = new UsedTokens(sql);
    this.#uplinks = new Uplinks(sql);
    this.#deleted = new DeletedDevices(sql);
    this.#early = new EarlyMessages(sql);
    this.#clocks = new SetBackClocks(sql);
    this.#presences = new Presences(sql, Number.MAX_SAFE_INTEGER, Date.now());
    this.#presences.woke(Date.now());
    ctx.blockConcurrencyWhile(async () => {
      const stored = versionedSettings.safeParse(kv.get('settings'));
      this.#obey(stored.success ? stored.data : { version: -1, settings: await readSettings(env) });
    });
  }

  /**
   * Takes device messages. When it returns, they are durable: changes in the ledger, reports with their campaigns.
   * Messages it had before change nothing. A crash in the middle leaves part of it written; the sender, without
   * an answer, sends all of it again. Answers the messages it had to refuse.
   */
  async ingest(messages: DeviceMessage[]): Promise<Refusal[]> {
    const { refusals, deviceIds, back, early } = await this.#turns.take(() => this.#meet(messages));
    const refused = new Set(refusals.map(({ index }) => index));
    const taken = [...messages.filter((_, index) => !refused.has(index)), ...early];
    const configured = await recordEvents(this.#db, taken, deviceIds);
    await invalidate(
      this.env,
      configured.map((id) => cacheKey.config(id)),
    );
    await tellCampaigns(this.env, this.#watches, taken, back);
    this.#tellWatchers(taken);
    this.#early.forget(early);
    await this.#wake();
    return refusals;
  }

  /** Takes the WebSocket of somebody who watches one device (`/stream/devices/{serial_no}`). */
  override async fetch(request: Request): Promise<Response> {
    const serial = new URL(request.url).pathname.split('/').at(-1) ?? '';
    await this.#turns.take(() => this.#load([serial]));
    return this.#watchers.accept(request, serial, this.#view(serial));
  }

  override webSocketMessage(): void {
    // Watchers only listen.
  }

  override webSocketClose(socket: WebSocket): void {
    socket.close();
  }

  /** How these devices are right now, to the second; those never heard of are left out. */
  async look(serialNos: string[]): Promise<Record<string, LiveDevice>> {
    return this.#each(serialNos, liveOf);
  }

  /** The same, and what runs there as far as that is remembered. */
  async inspect(serialNos: string[]): Promise<Record<string, ShownDevice>> {
    return this.#each(serialNos, shownOf);
  }

  /** From now on the campaign hears of these devices' heartbeats. Answers behind which addresses they are, if known. */
  async watch(campaign: Contender, serialNos: string[]): Promise<Record<string, string>> {
    this.#watches.add(campaign, serialNos);
    return this.#uplinks.of(serialNos);
  }

  /** Reserves devices for a campaign's update: at most one at a time has each. Answers those it may not have now. */
  async claim(campaign: Contender, serialNos: string[]): Promise<Claimed> {
    const offline = serialNos.filter((serial) => {
      const known = this.#presences.get(serial);
      return known !== undefined && known.last_seen > 0 && !known.online;
    });
    return { refused: this.#watches.claim(campaign, serialNos), offline };
  }

  /** The campaign gives these devices back for now, and still hears of them. */
  async yield(campaignId: string, serialNos: string[]): Promise<void> {
    this.#watches.yield(campaignId, serialNos);
  }

  /** The campaign is done with these devices, or with all it had. */
  async unwatch(campaignId: string, serialNos?: string[]): Promise<void> {
    this.#watches.remove(campaignId, serialNos);
  }

  /** These devices were changed in the ledger by another hand: nothing that was known of them before is kept. */
  async forget(serialNos: string[]): Promise<void> {
    await this.#turns.take(async () => {
      this.#deleted.remove(serialNos);
      for (const serial of serialNos) {
        const known = this.#presences.get(serial);
        if (known !== undefined) known.record = undefined;
      }
    });
    await this.#cached.forget(serialNos);
  }

  /** A device is out for good: it is offline, and no campaign waits for it any more. */
  async exclude(serialNo: string, error: string, detail: string): Promise<void> {
    await this.#turns.take(async () => {
      const known = this.#presences.get(serialNo);
      if (known?.online === true) await this.#goOffline([known]);
    });
    const campaigns = this.#watches.of(serialNo).map((id) => this.env.CAMPAIGN.getByName(id));
    await Promise.all(campaigns.map((campaign) => campaign.exclude(serialNo, error, detail)));
  }

  /** This device was deleted in the ledger. What it said before, and still arrives, is refused. */
  async drop(serialNo: string): Promise<void> {
    await this.#turns.take(async () => {
      this.#deleted.add(serialNo, Date.now());
      this.#presences.remove(serialNo);
      this.#uplinks.forget(serialNo);
    });
    await this.#cached.forget([serialNo]);
  }

  /**
   * True the first time a token is used, false ever after until it has expired (Unix seconds) anyway. `uplink`: the
   * address it came from, as far as that is known.
   */
  async useToken(serialNo: string, jti: string, exp: number, uplink?: string): Promise<boolean> {
    const isNew = this.#usedTokens.use(serialNo, jti, exp, Date.now() / 1000);
    if (isNew && uplink !== undefined) this.#uplinks.seen(serialNo, uplink);
    return isNew;
  }

  /** The fleet's settings have changed. */
  async settingsChanged(current: VersionedSettings): Promise<void> {
    this.ctx.storage.kv.put('settings', current);
    this.#obey(current);
    await this.#wake();
  }

  /** Marks devices offline that have been silent for too long, and remembers what changed. */
  override async alarm(): Promise<void> {
    this.#presences.rang(Date.now());
    try {
      await this.#turns.take(() => this.#sweep(Date.now()));
    } finally {
      // An alarm that fails is retried a few times only, and the ledger may be away for longer.
      await this.#wake();
    }
  }

  #obey({ settings }: VersionedSettings): void {
    this.#approveFirst = settings.approve_first;
    this.#presences.patience(settings.offline_after_s * 1000);
  }

  async #sweep(now: number): Promise<void> {
    const silent = this.#presences.silent(now);
    try {
      if (silent.length > 0 && (await this.env.COORDINATOR.getByName('bridges').isCutOff())) {
        // Nobody can be heard, so nobody's silence says anything.
        this.#presences.listenFrom(now);
        this.#presences.again(silent, now);
      } else {
        await this.#goOffline(silent);
      }
    } catch (error) {
      this.#presences.again(silent, now);
      throw error;
    }
    await rejectExpired(this.#db, this.#early, now);
    const outdated = this.#presences.outdated(COARSE_ROWS);
    await recordLastSeen(this.#db, outdated);
    for (const { record, last_seen } of outdated) if (record !== undefined) record.last_seen = last_seen;
  }

  /** Brings the ledger and memory up to date with heartbeats and last wills. Answers what it refused, and who is back. */
  async #meet(messages: readonly DeviceMessage[]): Promise<{
    refusals: Refusal[];
    deviceIds: Map<string, string>;
    back: Set<string>;
    early: SingleMessage[];
  }> {
    await this.#load(messages.map((m) => m.serial_no));
    const news = new Map<string, DeviceReport>();
    const newest = new Map<string, number>();
    for (const m of messages) {
      if (m.kind !== 'heartbeat') continue;
      const known = this.#presences.get(m.serial_no);
      if (known !== undefined) this.#heedClock(known, m);
      if (known?.record === undefined && this.#deleted.has(m.serial_no, Date.now())) continue;
      // Of several in one batch the newest counts, in whichever order they are.
      const said = saidAt(m.heartbeat.timestamp, m.received_at);
      if (said < (newest.get(m.serial_no) ?? 0)) continue;
      newest.set(m.serial_no, said);
      if (isNews(known, m.heartbeat, m.received_at)) {
        const back = known?.online === false || news.get(m.serial_no)?.back === true;
        const last_seen = new Date(Math.max(m.received_at, known?.record?.last_seen ?? 0));
        news.set(m.serial_no, { ...m.heartbeat, status: 'online', last_seen, back });
      }
    }
    await this.#record(news);
    const early = news.size === 0 ? [] : this.#early.of([...news.keys()]);
    const refusals = await this.#apply(messages);
    // Who has come online must be judged also by whoever remembers nothing but this.
    const back = new Set(
      [...news.values()].filter((report) => report.back).map((report) => report.serial_no),
    );
    if (back.size > 0) this.#presences.flush();
    const deviceIds = new Map<string, string>();
    for (const { serial_no } of messages) {
      const record = this.#presences.get(serial_no)?.record;
      if (record !== undefined) deviceIds.set(serial_no, record.device_id);
    }
    return { refusals, deviceIds, back, early };
  }

  /** Nothing is late any more of a device whose clock was set back. */
  #heedClock(known: Presence, { heartbeat, received_at }: HeartbeatMessage): void {
    if (!isBehind(known, heartbeat, received_at)) return;
    const said = saidAt(heartbeat.timestamp, received_at);
    if (this.#clocks.isSetBack(known.serial_no, said, Math.floor(received_at / 1000))) known.said_at = 0;
  }

  /** Brings the ledger up to date, and what is remembered and cached of it. */
  async #record(news: ReadonlyMap<string, DeviceReport>): Promise<void> {
    const at = new Date();
    const devices = await recordReports(this.#db, [...news.values()], { approved: !this.#approveFirst, at });
    const changes = devices.flatMap((device) => {
      const report = news.get(device.serialNo);
      if (report === undefined) return [];
      const before = this.#presences.get(device.serialNo)?.record;
      this.#presences.meet(device, recordAfter(before, report, device));
      return [[device.serialNo, changedBy(report, device, at)] as const];
    });
    // Behind the answer's back: the ledger has it, and a cache that is slow must not slow down the fleet.
    if (changes.length > 0) this.ctx.waitUntil(this.#cached.amend(changes));
  }

  async #apply(messages: readonly DeviceMessage[]): Promise<Refusal[]> {
    const refusals: Refusal[] = [];
    const gone: Presence[] = [];
    for (const [index, m] of messages.entries()) {
      const known = this.#presences.get(m.serial_no);
      if (known?.record === undefined) {
        if (m.kind === 'heartbeat' || this.#deleted.has(m.serial_no, Date.now())) {
          refusals.push({ index, reason: 'the device was deleted' });
        } else this.#early.keep([m], Date.now());
      } else if (known.record.revoked) {
        // That the broker has ended its session is no word of the device.
        if (m.kind !== 'offline') refusals.push({ index, reason: 'the device is revoked' });
      } else if (m.kind === 'offline') {
        if (m.received_at < known.last_seen) continue;
        known.gone_at = m.received_at;
        gone.push(known);
      } else {
        const back = m.kind === 'heartbeat' && !isLate(known, m.heartbeat, m.received_at);
        this.#presences.heard(known, m.received_at, back);
        if (m.kind !== 'heartbeat' || !back) continue;
        const { timestamp, state, battery, temperature } = m.heartbeat;
        known.said_at = saidAt(timestamp, m.received_at);
        known.readings = { state, battery, temperature };
      }
    }
    await this.#goOffline(gone.filter((known) => known.online && known.gone_at >= known.last_seen));
    return refusals;
  }

  async #goOffline(devices: readonly Presence[]): Promise<void> {
    if (devices.length === 0) return;
    await recordOffline(this.#db, devices);
    for (const known of devices) {
      this.#presences.gone(known);
      this.#watchers.tell(known.serial_no, () => this.#view(known.serial_no));
    }
    // An idle shard loses its memory before the blob's time: it would take them for online again.
    this.#presences.flush();
    await this.#cached.forget(devices.map(({ serial_no }) => serial_no));
  }

  /** Every message of a device that somebody watches, with how it stands after it. */
  #tellWatchers(messages: readonly DeviceMessage[]): void {
    if (!this.#watchers.any) return;
    for (const message of messages) {
      const { serial_no, received_at: _at, digest: _digest, ...said } = { digest: '', ...message };
      this.#watchers.tell(serial_no, () => ({ ...this.#view(serial_no), message: said }));
    }
  }

  #view(serialNo: string) {
    return viewOf(serialNo, this.#presences.get(serialNo), this.#watches.isClaimed(serialNo));
  }

  #each<Seen>(
    serialNos: readonly string[],
    look: (known: Presence | undefined) => Seen | undefined,
  ): Record<string, Seen> {
    const seen = serialNos.map((serial) => [serial, look(this.#presences.get(serial))] as const);
    return Object.fromEntries(seen.flatMap(([serial, one]) => (one === undefined ? [] : [[serial, one]])));
  }

  /** What the ledger knows of these devices, where memory does not. */
  async #load(serialNos: readonly string[]): Promise<void> {
    const unknown = new Set(serialNos.filter((serial) => this.#presences.get(serial)?.record === undefined));
    for (const row of await findDevices(this.#db, [...unknown])) this.#presences.meet(row, recordOf(row));
  }

  async #wake(): Promise<void> {
    const set = await this.ctx.storage.getAlarm();
    const next = earliest(this.#presences.nextAt, this.#early.nextAt);
    if (set !== null && (next === undefined || set <= next)) return;
    this.#presences.sleepUntil(next);
    if (next !== undefined) await this.ctx.storage.setAlarm(Math.max(next, Date.now()));
  }
}

const earliest = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
