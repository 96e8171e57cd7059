/**
 * One campaign: its members, its gate, its pace. Everything it decides is in `stages.ts`, `member.ts` and
 * `pace.ts`; here it is read, decided, written and told, in this order. SQLite is the truth while it runs; the
 * ledger in Postgres follows within a tick.
 */
import { DurableObject } from 'cloudflare:workers';
import type { DeviceUpdate, UpdateState } from '../../protocol/api.ts';
import type { OtaUpdate } from '../../protocol/messages.ts';
import { hash32 } from '../../protocol/shards.ts';
import { commandTopic } from '../../protocol/topics.ts';
import { type Database, openDatabase } from '../../store/connection.ts';
import { findFirmware, withdrawnReason } from '../../store/firmware.ts';
import type { Env } from '../env.ts';
import type { Heard, Reported } from '../fleet-shard/messages.ts';
import type { CampaignState, Definition } from './definition.ts';
import { unwatchFleet, watchFleet } from './fleet-watch.ts';
import { hasVersion } from './joining.ts';
import { writeCampaign, writeState, writeUnwritten } from './ledger.ts';
import { materialise } from './materialise.ts';
import {
  afterHeartbeat,
  afterReport,
  afterTime,
  type Change,
  isDue,
  isFinal,
  isStarted,
  type Member,
  offer,
} from './member.ts';
import { emptyCounts, Members } from './members.ts';
import { offerCommands } from './offers.ts';
import { Pace } from './pace.ts';
import { type Snapshot, snapshotOf, updateOf } from './snapshot.ts';
import { inFlight, judge, unfinished } from './stages.ts';
import { takeBack } from './take-back.ts';
import { Watchers } from './watchers.ts';

const TICK_MS = 1000;
/** Most members offered in one tick, and written to the ledger in one statement. */
const BATCH = 1000;

/** What an operator's command led to. */
export type Outcome = { ok: true } | { ok: false; problem: string };

export class Campaign extends DurableObject<Env> {
  readonly #db: Database;
  readonly #members: Members;
  readonly #pace = new Pace();
  readonly #watchers: Watchers;
  readonly #progress = new Map<string, number>();
  #state: CampaignState | undefined;
  #ticking: Promise<void> = Promise.resolve();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#db = openDatabase(env);
    this.#members = new Members(ctx.storage.sql);
    this.#watchers = new Watchers(ctx);
    // Only a campaign that has started keeps anything: reports for others must leave no trace here.
    this.#state = ctx.storage.kv.get<CampaignState>('state');
  }

  /** Begins now, or at the policy's `start_at`. A campaign that began already stays as it is. */
  async start(definition: Definition): Promise<Outcome> {
    if (this.#state !== undefined) return refuse(`the campaign is ${this.#state.status}`);
    const at = new Date(definition.policy.start_at ?? 0);
    if (at.getTime() <= Date.now()) return this.#begin(definition);
    this.ctx.storage.kv.put('scheduled', definition);
    await this.ctx.storage.setAlarm(at.getTime());
    const statusReason = `starts at ${at.toISOString()}`;
    await writeCampaign(this.env, this.#db, definition.id, { status: 'scheduled', statusReason });
    return { ok: true };
  }

  /** Forgets that it was to begin at some time. */
  async unschedule(): Promise<void> {
    this.ctx.storage.kv.delete('scheduled');
    await this.ctx.storage.deleteAlarm();
  }

  /** Finds the members and opens the first stage. */
  async #begin(definition: Definition): Promise<Outcome> {
    const state = await materialise(this.#db, this.#members, definition, Date.now());
    if (state === undefined) {
      return refuse('no device needs this firmware: nothing matches the target, or all have it');
    }
    this.#keep(state);
    const firmware = await findFirmware(this.#db, definition.firmware.id);
    // Whoever withdraws it from now on finds the campaign running, and pauses it.
    if (firmware?.state === 'withdrawn') this.#enter('paused', withdrawnReason(firmware));
    await watchFleet(this.env, definition.id, this.#members);
    await this.#writeCampaign();
    await this.#tickSoon(0);
    return { ok: true };
  }

  /** No new device starts from here on; those under way go on. */
  async pause(reason: string): Promise<Outcome> {
    if (this.#state?.status !== 'active') return refuse(this.#cannot('pause', 'active'));
    this.#enter('paused', reason);
    await this.#holdBack();
    return { ok: true };
  }

  /** Goes on. Failures up to here are accepted: the gate counts from now. */
  async resume(): Promise<Outcome> {
    const state = this.#state;
    if (state?.status !== 'paused') return refuse(this.#cannot('resume', 'paused'));
    const counts = state.counts[state.stage] ?? emptyCounts();
    state.accepted_failures = counts.failed + counts.rollback;
    this.#enter('active', null);
    await this.#writeCampaign();
    await this.#tickSoon(0);
    return { ok: true };
  }

  /** Ends it: devices that have not begun are skipped, those under way are still listened to. */
  async cancel(reason: string): Promise<Outcome> {
    const status = this.#state?.status;
    if (status !== 'active' && status !== 'paused') return refuse(this.#cannot('cancel', 'active or paused'));
    this.#enter('cancelled', reason);
    await this.#holdBack();
    this.#skipWaiting('cancelled', 'the campaign was cancelled');
    await this.#tickSoon(0);
    return { ok: true };
  }

  /** Replaces the policy of a campaign that runs; the stages must stay. */
  async changePolicy(policy: Definition['policy']): Promise<Outcome> {
    const state = this.#state;
    if (state === undefined) return refuse('the campaign has not started');
    state.definition.policy = { ...policy, stages: state.definition.policy.stages };
    this.#keep(state);
    return { ok: true };
  }

  /** Takes what devices say of their updates. Durable when it returns. */
  async report(items: Reported[]): Promise<void> {
    const state = this.#state;
    if (state === undefined) return;
    const now = Date.now();
    for (const { serial_no, report } of items) {
      const member = this.#members.get(serial_no);
      if (member === undefined) continue;
      if (report.status === 'downloading' && report.progress !== undefined) {
        this.#progress.set(serial_no, report.progress);
      }
      this.#move(state, member, afterReport(member, report, state.definition.policy, now), now);
    }
    await this.#changed(state);
  }

  /** Takes heartbeats of members. Durable when it returns. */
  async hear(items: Heard[]): Promise<void> {
    const state = this.#state;
    if (state === undefined) return;
    const now = Date.now();
    for (const heard of items) {
      const member = this.#members.get(heard.serial_no);
      if (member === undefined) continue;
      this.#move(state, member, afterHeartbeat(member, hasVersion(state.definition, heard), now), now);
    }
    await this.#changed(state);
  }

  /** The update a device that asks for itself should install now, if any. Asking counts as being offered. */
  async check(serialNo: string): Promise<OtaUpdate | null> {
    const state = this.#state;
    const member = this.#members.get(serialNo);
    if (state === undefined || member === undefined || isFinal(member.state)) return null;
    // One that is under way may need a fresh link whatever has become of the campaign; no other begins.
    if (state.status !== 'active' && !isStarted(member.state)) return null;
    let current: Member = member;
    if (member.state === 'pending') {
      const room = state.definition.policy.max_concurrent - this.#inFlight(state);
      if (member.stage > state.stage || room <= 0) return null;
      const now = Date.now();
      current = this.#move(state, member, offer(member, now), now);
      await this.#changed(state);
    }
    const [made] = await offerCommands(this.env, state.definition, [current]);
    return made?.command ?? null;
  }

  /** How it stands; `null` where it has not started. */
  async look(): Promise<Snapshot | null> {
    return this.#state === undefined ? null : this.#snapshot(this.#state);
  }

  /** Where one device stands, live; `null` where it is no member. */
  async member(serialNo: string): Promise<DeviceUpdate | null> {
    if (this.#state === undefined) return null;
    const member = this.#members.get(serialNo);
    return member === undefined ? null : updateOf(this.#state.definition, member, this.#progress);
  }

  /** Takes a watcher's WebSocket: JSON events for the API, fragments for the page (`?format=html`). */
  override async fetch(request: Request): Promise<Response> {
    return this.#watchers.accept(
      request,
      this.#state === undefined ? undefined : this.#snapshot(this.#state),
    );
  }

  override webSocketMessage(): void {
    // Watchers only listen.
  }

  override webSocketClose(socket: WebSocket): void {
    socket.close();
  }

  override async alarm(): Promise<void> {
    const scheduled = this.ctx.storage.kv.get<Definition>('scheduled');
    if (scheduled !== undefined) await this.#beginScheduled(scheduled);
    const before = this.#ticking;
    this.#ticking = before.then(() => this.#tick());
    try {
      await this.#ticking;
    } finally {
      this.#ticking = Promise.resolve();
      await this.#tickSoon(TICK_MS);
    }
  }

  async #beginScheduled(definition: Definition): Promise<void> {
    const outcome = await this.#begin(definition);
    if (!outcome.ok) {
      const change = { status: 'cancelled', statusReason: outcome.problem, finishedAt: new Date() } as const;
      await writeCampaign(this.env, this.#db, definition.id, change);
    }
    this.ctx.storage.kv.delete('scheduled');
  }

  async #tick(): Promise<void> {
    const state = this.#state;
    if (state === undefined) return;
    const now = Date.now();
    for (const member of this.#members.open()) {
      this.#move(state, member, afterTime(member, state.definition.policy, now), now);
    }
    if (state.status === 'active') this.#passGates(state, now);
    this.#keep(state);
    if (state.status === 'active') await this.#offerNext(state, now);
    await this.#takeBack(state);
    await this.#write();
    this.#watchers.tell(() => this.#snapshot(state));
  }

  /** Judges the open stage, and the next one when it passes. */
  #passGates(state: CampaignState, now: number): void {
    const { policy } = state.definition;
    for (const stage of policy.stages.slice(state.stage)) {
      const counts = state.counts[state.stage] ?? emptyCounts();
      const verdict = judge({
        stage,
        policy,
        counts,
        accepted_failures: state.accepted_failures,
        open_ms: now - state.stage_opened_at,
      });
      state.reason = verdict.kind === 'pass' ? null : verdict.reason;
      if (verdict.kind === 'wait') return;
      if (verdict.kind === 'stop') {
        this.#stop(state, verdict.reason, now);
        return;
      }
      if (state.stage === policy.stages.length - 1) {
        this.#finish(state, now);
        return;
      }
      state.stage += 1;
      state.stage_opened_at = now;
      state.accepted_failures = 0;
      state.unwritten = true;
    }
  }

  /** The gate has stopped the campaign: it pauses, or ends and takes back who completed it. */
  #stop(state: CampaignState, reason: string, now: number): void {
    if (state.definition.policy.on_failure === 'pause') {
      this.#enter('paused', reason);
      return;
    }
    state.finished_at = now;
    state.take_back_after = 0;
    this.#enter('rolled_back', reason);
    this.#skipWaiting('rolled_back', 'the campaign was rolled back');
  }

  /** Takes back who has completed by now, and at the end whoever completed after that. */
  async #takeBack(state: CampaignState): Promise<void> {
    const after = state.take_back_after;
    if (after === null || (after > 0 && this.#inFlight(state) > 0)) return;
    await this.env.BROKER_LINK.getByName('main').withdraw(state.definition.id);
    const now = Date.now();
    const completed = this.#members.completedAfter(after);
    state.take_back_after = this.#inFlight(state) > 0 ? now : null;
    this.#keep(state);
    const problems = await takeBack(this.env, this.#db, state.definition, completed);
    if (problems.length > 0) this.#enter(state.status, [state.reason, ...problems].join('; '));
  }

  /** The last stage has passed: it is over when every member has ended. */
  #finish(state: CampaignState, now: number): void {
    const left = state.counts.reduce((sum, counts) => sum + unfinished(counts), 0);
    if (left > 0) {
      state.reason = `every stage has passed; ${left} ${left === 1 ? 'device' : 'devices'} still to end`;
      return;
    }
    state.finished_at = now;
    this.#enter('completed', null);
  }

  /**
   * Offers the update to as many members as pace and concurrency allow. They are marked first: a crash before
   * the commands are queued leaves offers nobody got, which run out and are made again.
   */
  async #offerNext(state: CampaignState, now: number): Promise<void> {
    const { policy } = state.definition;
    const room = Math.min(BATCH, policy.max_concurrent - this.#inFlight(state));
    if (room <= 0) return;
    const due = this.#members.open().filter((m) => m.stage <= state.stage && isDue(m, now));
    const candidates = [...due, ...this.#members.untouched(state.cursor, state.stage, room)].slice(0, room);
    const chosen = candidates.slice(0, this.#pace.take(now, policy.rate_per_minute, candidates.length));
    const furthest = chosen.findLast((member) => member.attempt === 0);
    if (furthest !== undefined) {
      state.cursor = { h: hash32(furthest.serial_no), serial_no: furthest.serial_no };
    }
    const offered = chosen.map((member) => this.#move(state, member, offer(member, now), now));
    this.#keep(state);
    const made = await offerCommands(this.env, state.definition, offered);
    await this.env.BROKER_LINK.getByName('main').enqueue(
      made.map(({ member, command, expires_at }) => ({
        serial_no: member.serial_no,
        topic: commandTopic(member.serial_no),
        payload: JSON.stringify(command),
        campaign_id: state.definition.id,
        expires_at,
      })),
    );
  }

  /** Applies a change to a member and to the counters, which always move together. */
  #move(state: CampaignState, member: Member, change: Change, now: number): Member {
    if (change === undefined) return member;
    const next = this.#members.save(member, change, now);
    const counts = state.counts[member.stage];
    if (counts !== undefined) {
      counts[member.state] -= 1;
      counts[next.state] += 1;
    }
    if (isFailure(next.state) && !isFailure(member.state)) {
      const error = next.error ?? next.state;
      state.errors[error] = (state.errors[error] ?? 0) + 1;
    }
    if (isFinal(next.state)) this.#progress.delete(member.serial_no);
    return next;
  }

  #inFlight(state: CampaignState): number {
    return state.counts.reduce((sum, counts) => sum + inFlight(counts), 0);
  }

  #enter(status: CampaignState['status'], reason: string | null): void {
    if (this.#state === undefined) return;
    if (status === 'cancelled') this.#state.finished_at = Date.now();
    Object.assign(this.#state, { status, reason, unwritten: true });
    this.#keep(this.#state);
  }

  #keep(state: CampaignState): void {
    this.#state = state;
    this.ctx.storage.kv.put('state', state);
  }

  async #changed(state: CampaignState): Promise<void> {
    this.#keep(state);
    this.#watchers.tell(() => this.#snapshot(state));
    await this.#tickSoon(TICK_MS);
  }

  /** After this no command that was not sent yet leaves any more. */
  async #holdBack(): Promise<void> {
    // A tick that fails is reported by its alarm.
    await this.#ticking.catch(() => undefined);
    const id = this.#state?.definition.id;
    if (id !== undefined) await this.env.BROKER_LINK.getByName('main').withdraw(id);
    await this.#writeCampaign();
    await this.#tickSoon(0);
  }

  #skipWaiting(error: string, detail: string): void {
    const state = this.#state;
    if (state === undefined) return;
    const now = Date.now();
    const skipped = { state: 'skipped' as UpdateState, error, detail };
    for (let left = this.#members.waiting(BATCH); left.length > 0; left = this.#members.waiting(BATCH)) {
      for (const member of left)
        this.#move(state, member, { ...skipped, finished_at: now, next_at: null }, now);
    }
    this.#keep(state);
  }

  /** Brings the ledger up to date. Where that fails, the alarm tries again. */
  async #write(): Promise<void> {
    const state = this.#state;
    if (state === undefined) return;
    const wrote = await writeUnwritten(this.env, this.#db, this.#members, state);
    if (wrote || state.unwritten) await this.#writeCampaign();
    if (state.finished_at !== null && this.#inFlight(state) === 0) {
      await unwatchFleet(this.env, state.definition.id);
    }
  }

  async #writeCampaign(): Promise<void> {
    const state = this.#state;
    if (state === undefined) return;
    try {
      await writeState(this.env, this.#db, state);
    } finally {
      this.#keep(state);
    }
  }

  /** While it is active, or anything is under way or unwritten, the clock runs. */
  async #tickSoon(ms: number): Promise<void> {
    const state = this.#state;
    if (state === undefined) return;
    const busy =
      state.status === 'active' ||
      state.unwritten ||
      state.take_back_after !== null ||
      this.#inFlight(state) > 0 ||
      this.#members.unwritten(1).length > 0;
    if (!busy) return;
    const set = await this.ctx.storage.getAlarm();
    const at = Date.now() + ms;
    if (set === null || set > at) await this.ctx.storage.setAlarm(at);
  }

  #snapshot(state: CampaignState): Snapshot {
    return snapshotOf(state, this.#members, this.#progress);
  }

  #cannot(verb: string, needed: string): string {
    const status = this.#state?.status ?? 'not started';
    return `only a campaign that is ${needed} can be told to ${verb}; this one is ${status}`;
  }
}

const refuse = (problem: string): Outcome => ({ ok: false, problem });
const isFailure = (state: UpdateState): boolean => state === 'failed' || state === 'rollback';
