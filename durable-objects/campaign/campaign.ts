/**
 * One campaign: its members, its gate, its pace. Everything it decides is in pure functions beside it; here it is
 * read, decided, written and told, in this order. SQLite is the truth while it runs; the ledger in Postgres follows
 * within a tick.
 */
import { DurableObject } from 'cloudflare:workers';
import type { DeviceUpdate } from '../../protocol/api.ts';
import type { OtaUpdate } from '../../protocol/messages.ts';
import type { Rehearsal } from '../../protocol/rehearsal.ts';
import { firmwareOf } from '../../store/campaign-targets.ts';
import { findCampaign } from '../../store/campaigns.ts';
import { type Database, openDatabase } from '../../store/connection.ts';
import { findFirmware, listSteps, stopReason } from '../../store/firmware.ts';
import type { Env } from '../env.ts';
import type { Heard, Reported } from '../fleet-shard/messages.ts';
import { Turns } from '../turns.ts';
import { Book } from './book.ts';
import type { Wanted } from './change.ts';
import { Clock } from './clock.ts';
import { artifactOf, type Definition } from './definition.ts';
import { Draft } from './draft.ts';
import { endedBy } from './end.ts';
import { contenderOf, rank, watch, yieldDevices } from './fleet.ts';
import { Found } from './found.ts';
import { afterHeard } from './joining.ts';
import { yieldWaiting } from './ledger.ts';
import { ENDED, isFinal, isPostponed, isStarted, leave, type Member } from './member.ts';
import { rejudged } from './member-clock.ts';
import { afterDelivery } from './member-reports.ts';
import { Members } from './members.ts';
import { offerAsking } from './offering.ts';
import { offerCommands } from './offers.ts';
import {
  acceptTrouble,
  advance,
  type Outcome,
  refuse,
  restartOffers,
  retryFailed,
  skipDevice,
} from './operator.ts';
import { isForNobody, prepareStep, unprepared } from './prepare.ts';
import { type RehearsalInput, rehearse } from './rehearsal/rehearse.ts';
import { ledgerSnapshot, type Snapshot, snapshotOf, updateOf } from './snapshot.ts';
import { Watchers } from './watchers.ts';

const TICK_MS = 1000;

export type { Outcome } from './operator.ts';

export class Campaign extends DurableObject<Env> {
  readonly #db: Database;
  readonly #members: Members;
  readonly #found: Found;
  readonly #watchers: Watchers;
  readonly #clock: Clock;
  readonly #draft: Draft;
  /** Only a campaign that has begun keeps anything: reports for others must leave no trace here. */
  #book: Book | undefined;
  /** The clock's ticks, and what must not happen in the middle of one. */
  readonly #ticks = new Turns();
  /** Whatever offers members the update, or takes offers back: each sees the room the one before has left. */
  readonly #offers = new Turns();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#db = openDatabase(env);
    this.#members = new Members(ctx.storage.sql);
    this.#found = new Found(ctx.storage.sql);
    this.#watchers = new Watchers(ctx);
    this.#clock = new Clock(env, this.#db, this.#found, this.#offers);
    this.#book = Book.open(ctx.storage, this.#members);
    this.#draft = new Draft(ctx.storage, env, this.#db, this.#watchers, {
      book: () => this.#book,
      begin: (definition) => this.#begin(definition),
      change: (book, wanted) => this.#changeBegun(book, wanted),
    });
  }

  /**
   * Begins now, or at the policy's `start_at`. A campaign that began already stays as it is, and so does one that was
   * changed since it was `seen` ({@link fingerprint}).
   */
  async start(definition: Definition, seen?: string): Promise<Outcome> {
    return this.#draft.start(definition, seen);
  }

  /** Notes who has approved the draft that was `seen`. */
  async approve(id: string, seen: string, actor: string): Promise<Outcome> {
    return this.#draft.approve(id, seen, actor);
  }

  /** Changes what is named of the campaign that was `seen`, here and in the ledger. */
  async change(id: string, seen: string, wanted: Wanted): Promise<Outcome> {
    return this.#draft.change(id, seen, wanted);
  }

  /** Forgets that it was to begin at some time. */
  async unschedule(): Promise<void> {
    await this.#draft.unschedule();
  }

  /** Ends it before it has begun; false where it has begun, or somebody else has ended it. */
  async cancelUnbegun(id: string, reason: string): Promise<boolean> {
    return this.#draft.cancel(id, reason);
  }

  /** No new device starts from here on; those under way go on. */
  async pause(reason: string): Promise<Outcome> {
    const book = this.#book;
    if (book?.state.status !== 'active') return refuse(this.#cannot('pause', 'active'));
    book.enter('paused', reason);
    await this.#holdBack(book);
    return { ok: true };
  }

  /** Goes on. Failures and silence up to here are accepted: the gate counts from now. */
  async resume(): Promise<Outcome> {
    const book = this.#book;
    if (book?.state.status !== 'paused') return refuse(this.#cannot('resume', 'paused'));
    await this.#clock.lookForSilence(book);
    // Somebody else may have been faster.
    if (book.state.status !== 'paused') return refuse(this.#cannot('resume', 'paused'));
    acceptTrouble(book);
    restartOffers(book, Date.now());
    return this.#goOn(book);
  }

  /** Ends it: devices that have not begun are skipped, those under way are still listened to. */
  async cancel(reason: string): Promise<Outcome> {
    const book = this.#book;
    const status = book?.state.status;
    if (book === undefined || (status !== 'active' && status !== 'paused')) {
      return refuse(this.#cannot('cancel', 'active or paused'));
    }
    const now = Date.now();
    this.#found.drop();
    Object.assign(book.state, { finished_at: now, preparing: null });
    book.enter('cancelled', reason);
    book.sweep('cancelled', 'the campaign was cancelled', now);
    await this.#holdBack(book);
    return { ok: true };
  }

  /** Gives members that failed another attempt, all or those with one error; a campaign that was over goes on. */
  async retry(error?: string): Promise<Outcome> {
    // A tick may just be letting go of those that have failed.
    return this.#ticks.take(() => this.#retry(error));
  }

  async #retry(error?: string): Promise<Outcome> {
    const book = this.#book;
    if (book === undefined || !['active', 'paused', 'completed'].includes(book.state.status)) {
      return refuse(this.#cannot('retry', 'active, paused or completed'));
    }
    const over = endedBy(book.definition.policy, Date.now());
    if (over !== undefined) return refuse(`${over}: give it a later end_at first`);
    const serials = await retryFailed(book, error, (some) => firmwareOf(this.#db, some));
    if (serials.length === 0) return refuse('no device has failed like that and still needs it');
    const wasOver = book.state.status === 'completed';
    if (wasOver) {
      // Together with its members, whatever fails after this: nobody may wait in a campaign that is over.
      book.state.finished_at = null;
      book.enter('active', null);
    }
    await this.#tickSoon(0);
    await watch(this.env, contenderOf(book.state), serials);
    return wasOver ? this.#goOn(book) : this.#changed(book);
  }

  /** Leaves one device out of what is still to come. */
  async skip(serialNo: string, actor: string): Promise<Outcome> {
    const book = this.#book;
    if (book === undefined) return refuse('the campaign has not started');
    const outcome = skipDevice(book, serialNo, actor, Date.now());
    return outcome.ok ? this.#changed(book) : outcome;
  }

  /** A device is out for good: it takes no part any more, whatever it was doing. */
  async exclude(serialNo: string, error: string, detail: string): Promise<void> {
    const book = this.#book;
    if (book === undefined) return;
    const now = Date.now();
    book.decide([{ serial_no: serialNo }], (member) => leave(member, error, detail, now), now);
    await this.#changed(book);
  }

  /** Opens the stage after the one that was `seen` open, now. */
  async advance(seen: number): Promise<Outcome> {
    const book = this.#book;
    if (book?.state.status !== 'active') return refuse(this.#cannot('open its next stage', 'active'));
    await this.#clock.lookForSilence(book);
    if (book.state.status !== 'active') return refuse(this.#cannot('open its next stage', 'active'));
    const outcome = advance(book, seen);
    if (outcome.ok) await this.#tickSoon(0);
    return outcome;
  }

  /** Takes what devices say of their updates. Durable when it returns. */
  async report(items: Reported[]): Promise<void> {
    const book = this.#book;
    if (book === undefined) return;
    const now = Date.now();
    const changed = book.decide(
      items,
      (member, { serial_no, ...said }) => {
        const { report } = said;
        if (report.status === 'downloading' && report.progress !== undefined && !isFinal(member.state)) {
          book.noteProgress(serial_no, report.progress, report.timestamp);
        }
        return afterDelivery(member, said, book.policy, now);
      },
      now,
    );
    await this.#changed(book);
    const later = changed.filter(isPostponed).map(({ serial_no }) => serial_no);
    if (later.length > 0) await yieldDevices(this.env, book.definition.id, later);
  }

  /** Takes heartbeats of members. Durable when it returns. */
  async hear(items: Heard[]): Promise<void> {
    const book = this.#book;
    if (book === undefined) return;
    const now = Date.now();
    const before = book.changes;
    book.decide(items, (member, heard) => afterHeard(book.definition, member, heard, now), now);
    if (book.changes > before) await this.#changed(book);
  }

  /** The update a device that asks for itself should install now, if any. Asking counts as being offered. */
  async check(serialNo: string): Promise<OtaUpdate | null> {
    const book = this.#book;
    const member = book && this.#members.get(serialNo);
    if (book === undefined || member === undefined || isFinal(member.state)) return null;
    const { state, definition } = book;
    // One that is under way may need a fresh link whatever has become of the campaign; no other begins.
    if (state.status !== 'active' && !isStarted(member.state)) return null;
    let current: Member | undefined = member;
    if (member.state === 'pending') {
      current = await this.#offers.take(() => offerAsking(this.env, book, serialNo, Date.now()));
      await this.#changed(book);
      if (book.state.status !== 'active') return null;
    }
    const [made] = current === undefined ? [] : await offerCommands(this.env, definition, [current]);
    return made?.command ?? null;
  }

  /** Plays it without starting it; only before it has begun. */
  async rehearse(input: RehearsalInput): Promise<Rehearsal> {
    if (this.#book !== undefined) throw new RangeError('a campaign that has begun cannot be rehearsed');
    return rehearse(this.ctx.storage, this.#members, input, Date.now());
  }

  /** How it stands; `null` where it has not started. */
  async look(): Promise<Snapshot | null> {
    return this.#book === undefined ? null : snapshotOf(this.#book);
  }

  /** Where one device stands, live; `null` where it is no member. */
  async member(serialNo: string): Promise<DeviceUpdate | null> {
    const member = this.#book && this.#members.get(serialNo);
    return this.#book === undefined || member === undefined ? null : updateOf(this.#book, member);
  }

  /** How far these members' downloads are, in percent, as far as they have said. */
  async progressOf(serialNos: string[]): Promise<Record<string, number>> {
    const said = serialNos.flatMap((serial) => {
      const progress = this.#book?.progress.get(serial);
      return progress === undefined ? [] : [[serial, progress] as const];
    });
    return Object.fromEntries(said);
  }

  /** Everything there was of it, once it is over and the ledger has it; false while something is left to do. */
  async forget(): Promise<boolean> {
    return this.#ticks.take(async () => {
      const book = this.#book;
      if (book !== undefined && (book.state.status === 'paused' || this.#isBusy(book))) return false;
      this.#book = undefined;
      await this.ctx.storage.deleteAll();
      return true;
    });
  }

  /** Takes a watcher's WebSocket: JSON events for the API, fragments for the page (`?format=html`). */
  override async fetch(request: Request): Promise<Response> {
    const id = new URL(request.url).pathname.split('/').at(-1) ?? '';
    const found = this.#book === undefined ? await findCampaign(this.#db, id) : undefined;
    const before = found && ledgerSnapshot(found);
    return this.#watchers.accept(request, this.#book === undefined ? before : snapshotOf(this.#book));
  }

  override webSocketMessage(): void {
    // Watchers only listen.
  }

  override webSocketClose(socket: WebSocket): void {
    socket.close();
  }

  override async alarm(): Promise<void> {
    await this.#draft.ring();
    try {
      // One that fails is reported by its alarm, and the next one does its work.
      await this.#ticks.take(() => this.#tick());
    } finally {
      await this.#tickSoon(TICK_MS);
    }
  }

  /** What runs goes on as it is said now. */
  async #changeBegun(book: Book, { name, policy }: Wanted): Promise<void> {
    const { definition, state } = book;
    const now = { ...definition, name: name ?? definition.name, policy: policy ?? definition.policy };
    const before = contenderOf(state);
    const after = contenderOf({ ...state, definition: now });
    const ranked = after.priority !== before.priority || after.name !== before.name;
    // Told first: whoever repeats a change that was broken off tells them again.
    if (ranked && state.finished_at === null) await rank(this.env, after);
    Object.assign(definition, now);
    // Its end may be another one now: the clock says so. Until then the stage is open that was.
    if (state.closed?.error === ENDED) {
      Object.assign(state, { stage: state.closed.stage ?? state.stage, closed: null });
    }
    book.keepDefinition();
    const at = Date.now();
    this.#members.rewake((member) => rejudged(member, definition.policy, at));
    await this.#changed(book);
  }

  /** Finds the members and opens the first stage; a large campaign does most of that in its ticks. */
  async #begin(definition: Definition): Promise<Outcome> {
    const over = endedBy(definition.policy, Date.now());
    if (over !== undefined) return refuse(over);
    const steps = await listSteps(this.#db, definition.firmware);
    const whole = { ...definition, steps: steps.map(artifactOf) };
    const book = new Book(this.ctx.storage, this.#members, unprepared(whole, Date.now()));
    this.#members.create();
    this.#found.create();
    await prepareStep(this.env, this.#db, book, this.#found, definition.target);
    if (isForNobody(book)) {
      this.#found.drop();
      return refuse('no device needs this firmware: nothing matches the target, or all have it');
    }
    book.begin();
    this.#book = book;
    const firmware = await findFirmware(this.#db, definition.firmware.id);
    // Whoever withdraws it from now on, or finds it damaged, finds the campaign running, and pauses it.
    const stopped = firmware && stopReason(firmware);
    if (stopped !== undefined) book.enter('paused', stopped);
    try {
      await prepareStep(this.env, this.#db, book, this.#found, definition.target);
      await this.#clock.writeCampaign(book);
    } finally {
      await this.#tickSoon(0);
    }
    return { ok: true };
  }

  async #tick(): Promise<void> {
    const book = this.#book;
    if (book === undefined) return;
    await this.#clock.tick(book);
    this.#watchers.tell(() => snapshotOf(book));
  }

  async #goOn(book: Book): Promise<Outcome> {
    book.enter('active', null);
    await this.#clock.writeCampaign(book);
    await this.#tickSoon(0);
    return { ok: true };
  }

  async #changed(book: Book): Promise<Outcome> {
    book.keep();
    this.#watchers.tell(() => snapshotOf(book));
    await this.#tickSoon(TICK_MS);
    return { ok: true };
  }

  /** After this no command that was not sent yet leaves any more. */
  async #holdBack(book: Book): Promise<void> {
    await this.#ticks.take(async () => {
      await this.#clock.withdraw(book);
      if (book.state.status === 'paused')
        await yieldWaiting(this.env, book.definition.id, this.#members.unanswered());
      await this.#clock.writeCampaign(book);
    });
    await this.#tickSoon(0);
  }

  /** While it is active, or anything is under way or unwritten, the clock runs. */
  async #tickSoon(ms: number): Promise<void> {
    const book = this.#book;
    if (book === undefined) return;
    if (!this.#isBusy(book)) return;
    const set = await this.ctx.storage.getAlarm();
    const atOnce = book.state.preparing !== null || book.state.sweep !== null;
    const at = Date.now() + (atOnce ? 0 : ms);
    if (set === null || set > at) await this.ctx.storage.setAlarm(at);
  }

  #isBusy({ state, inFlight }: Book): boolean {
    return (
      state.status === 'active' ||
      state.unwritten ||
      state.withdraws ||
      state.take_back_after !== null ||
      inFlight > 0 ||
      state.sweep !== null ||
      this.#members.hasUnwritten
    );
  }

  #cannot(verb: string, needed: string): string {
    const status = this.#book?.state.status ?? 'not started';
    return `only a campaign that is ${needed} can be told to ${verb}; this one is ${status}`;
  }
}
