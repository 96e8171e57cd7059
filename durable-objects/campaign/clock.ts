/** A campaign's clock: what is done in every tick, in this order, while it has anything to do. */
import { findCampaign } from '../../store/campaigns.ts';
import type { Database } from '../../store/connection.ts';
import type { Env } from '../env.ts';
import type { Turns } from '../turns.ts';
import type { Book } from './book.ts';
import { joinLate } from './dynamic.ts';
import { endInTime } from './end.ts';
import { releaseAll } from './fleet.ts';
import type { Found } from './found.ts';
import { passGates } from './gates.ts';
import { writeState, writeUnwritten, yieldWaiting } from './ledger.ts';
import { afterTime } from './member-clock.ts';
import { offerNext } from './offering.ts';
import { prepareStep } from './prepare.ts';
import { isTakeBackDue, takeBack } from './take-back.ts';
import { SilenceWatch } from './watch-silence.ts';

/** How often a dynamic campaign looks for devices to join it: it reads the ledger's devices of the model. */
const JOIN_MS = 10_000;
const JOIN_LARGE_MS = 300_000;
const LARGE = 10_000;
/** Members the clock looks at in one tick. */
const DUE = 20_000;

export class Clock {
  readonly #env: Env;
  readonly #db: Database;
  readonly #found: Found;
  readonly #offers: Turns;
  readonly #silence: SilenceWatch;
  #joinAt = 0;

  constructor(env: Env, db: Database, found: Found, offers: Turns) {
    this.#env = env;
    this.#db = db;
    this.#found = found;
    this.#offers = offers;
    this.#silence = new SilenceWatch(env, db);
  }

  /** One tick. It may be repeated at any point: whatever it has not come to is done by the next. */
  async tick(book: Book): Promise<void> {
    const { state } = book;
    const now = Date.now();
    if (state.preparing !== null) await this.#prepare(book);
    book.sweepOn(now);
    const isPaused = state.status === 'paused';
    const due = book.decide(
      book.members.due(now, DUE),
      (member) => afterTime(member, book.policy, now, isPaused),
      now,
    );
    if (this.#runs(book)) {
      endInTime(book, now);
      await this.#sometimes(book, now);
      passGates(book, now);
      if (!this.#runs(book)) await yieldWaiting(this.#env, book.definition.id, book.members.unanswered());
    }
    if (state.withdraws) await this.withdraw(book);
    book.keep();
    await this.#offers.take(async () => {
      if (this.#runs(book)) await offerNext(this.#env, book, due, now);
    });
    await this.#takeBack(book);
    await this.#write(book);
  }

  /** Whether devices may begin. */
  #runs({ state }: Book): boolean {
    return state.status === 'active' && state.preparing === null;
  }

  async #prepare(book: Book): Promise<void> {
    const found = await findCampaign(this.#db, book.definition.id);
    if (found !== undefined) await prepareStep(this.#env, this.#db, book, this.#found, found.row.target);
  }

  /** What is too much for every tick. */
  async #sometimes(book: Book, now: number): Promise<void> {
    await this.#silence.sometimes(book, now);
    const every = book.size < LARGE ? JOIN_MS : JOIN_LARGE_MS;
    if (book.definition.target.dynamic === true && now - this.#joinAt >= every) {
      this.#joinAt = now;
      await joinLate(this.#env, this.#db, book, now);
    }
  }

  /** After this no command that was not sent yet leaves any more. */
  async withdraw(book: Book): Promise<void> {
    const link = this.#env.BROKER_LINK.getByName('main');
    await this.#offers.take(() => link.withdraw(book.definition.id));
    book.state.withdraws = false;
  }

  /** Which devices have fallen silent by now, also where nothing was looked at for a while. */
  async lookForSilence(book: Book): Promise<void> {
    await this.#silence.look(book, Date.now());
  }

  /** Takes back who has completed by now, and again whoever completes after that. */
  async #takeBack(book: Book): Promise<void> {
    const { state } = book;
    const after = state.take_back_after;
    if (after === null || !isTakeBackDue(book, after, Date.now())) return;
    const until = state.take_back_until ?? Date.now();
    // Noted first: where this is broken off, the same members go back by the same campaigns.
    if (state.take_back_until === null)
      Object.assign(state, { take_back_until: until, taken_back: book.completed });
    book.keep();
    await this.#env.BROKER_LINK.getByName('main').withdraw(book.definition.id);
    const problems = await takeBack(this.#env, this.#db, book, { after, until });
    const more = book.inFlight > 0 || book.completed > state.taken_back;
    Object.assign(state, { take_back_after: more ? until : null, take_back_until: null });
    book.keep();
    if (problems.length > 0) book.enter(state.status, [state.reason, ...problems].join('; '));
  }

  /** Brings the ledger up to date, then the shards. Where that fails, the alarm tries again. */
  async #write(book: Book): Promise<void> {
    const wrote = await writeUnwritten(this.#env, this.#db, book.members, book.state);
    if (wrote > 0 || book.state.unwritten) await this.writeCampaign(book);
    if (book.state.finished_at !== null && book.inFlight === 0) {
      await releaseAll(this.#env, book.definition.id);
    }
  }

  /** Writes the campaign's own row. Throws where the ledger is away; the next tick tries again. */
  async writeCampaign(book: Book): Promise<void> {
    try {
      await writeState(this.#env, this.#db, book.state);
    } finally {
      book.keep();
    }
  }
}
