/** A campaign before it has begun: approved, changed, scheduled, or ended as a draft. */
import { findCampaign, type StoredCampaign } from '../../store/campaigns.ts';
import type { Database } from '../../store/connection.ts';
import { readSettings } from '../coordinator/settings.ts';
import type { Env } from '../env.ts';
import { Turns } from '../turns.ts';
import type { Book } from './book.ts';
import { fingerprint, fixedSince, stale, type Wanted } from './change.ts';
import { type Definition, definitionOf } from './definition.ts';
import { writeCampaign } from './ledger.ts';
import { type Outcome, refuse } from './operator.ts';
import { ledgerSnapshot } from './snapshot.ts';
import type { Watchers } from './watchers.ts';

/** What the campaign object does when its draft comes to its end. */
export interface Begun {
  /** `undefined` until the campaign has begun. */
  book(): Book | undefined;
  begin(definition: Definition): Promise<Outcome>;
  /** Changes what runs, here and not in the ledger. */
  change(book: Book, wanted: Wanted): Promise<void>;
}

export class Draft {
  readonly #storage: DurableObjectStorage;
  readonly #env: Env;
  readonly #db: Database;
  readonly #watchers: Watchers;
  readonly #begun: Begun;
  /** Whatever begins a campaign, or ends it before it has begun. */
  readonly #turns = new Turns();

  constructor(storage: DurableObjectStorage, env: Env, db: Database, watchers: Watchers, begun: Begun) {
    this.#storage = storage;
    this.#env = env;
    this.#db = db;
    this.#watchers = watchers;
    this.#begun = begun;
  }

  /** Begins now, or at the policy's `start_at`; refused where it has begun, or is no longer as it was `seen`. */
  async start(definition: Definition, seen?: string): Promise<Outcome> {
    return this.#turns.take(() => this.#start(definition, seen));
  }

  /** Notes who has approved the draft that was `seen`. */
  async approve(id: string, seen: string, actor: string): Promise<Outcome> {
    return this.#turns.take(async () => {
      const row = await this.#asSeen(id, seen);
      if (row === undefined) return stale();
      const status = this.#begun.book()?.state.status ?? row.status;
      if (status !== 'draft') return refuse(`the campaign is ${status}`);
      await writeCampaign(this.#env, this.#db, id, { approvedBy: actor });
      return { ok: true };
    });
  }

  /** Changes what is named of the campaign that was `seen`, also when it has begun meanwhile. */
  async change(id: string, seen: string, wanted: Wanted): Promise<Outcome> {
    return this.#turns.take(() => this.#change(id, seen, wanted));
  }

  /** Forgets that it was to begin at some time. */
  async unschedule(): Promise<void> {
    await this.#turns.take(() => this.#unschedule());
  }

  /** Ends it before it has begun; false where it has begun, or somebody else has ended it. */
  async cancel(id: string, reason: string): Promise<boolean> {
    return this.#turns.take(async () => {
      if (this.#begun.book() !== undefined) return false;
      if ((await findCampaign(this.#db, id))?.row.status === 'cancelled') return false;
      await this.#unschedule();
      await this.#end(id, reason);
      await this.#tell(id);
      return true;
    });
  }

  /** The alarm has rung: begins it where that is due. */
  async ring(): Promise<void> {
    const scheduled = this.#storage.kv.get<string>('scheduled');
    if (scheduled !== undefined) await this.#turns.take(() => this.#beginScheduled(scheduled));
  }

  async #start(definition: Definition, seen?: string): Promise<Outcome> {
    const book = this.#begun.book();
    if (book !== undefined) return refuse(`the campaign is ${book.state.status}`);
    const row = (await findCampaign(this.#db, definition.id))?.row;
    // Whoever asked may have read it before somebody else ended it, or changed it.
    if (row?.status === 'cancelled') return refuse('the campaign is cancelled');
    if (seen !== undefined && (row === undefined || (await fingerprint(row)) !== seen)) return stale();
    await this.#unschedule();
    const at = new Date(definition.policy.start_at ?? 0);
    if (at.getTime() <= Date.now()) return this.#begun.begin(definition);
    this.#storage.kv.put('scheduled', definition.id);
    await this.#storage.setAlarm(at.getTime());
    const statusReason = `starts at ${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
    await writeCampaign(this.#env, this.#db, definition.id, { status: 'scheduled', statusReason });
    await this.#tell(definition.id);
    return { ok: true };
  }

  async #change(id: string, seen: string, wanted: Wanted): Promise<Outcome> {
    const row = await this.#asSeen(id, seen);
    if (row === undefined) return stale();
    const book = this.#begun.book();
    if (book !== undefined) {
      const fixed = fixedSince(book.state, wanted);
      if (fixed !== undefined) return refuse(fixed);
      await this.#begun.change(book, wanted);
      await writeCampaign(this.#env, this.#db, id, wanted);
      return { ok: true };
    }
    if (row.status !== 'draft' && row.status !== 'scheduled') return refuse(`the campaign is ${row.status}`);
    await writeCampaign(this.#env, this.#db, id, { ...wanted, approvedBy: null });
    if (row.status === 'scheduled') await this.#scheduleAgain(id);
    return { ok: true };
  }

  /** One that was to start by itself was changed: it needs approval anew where that is asked for, or another alarm. */
  async #scheduleAgain(id: string): Promise<void> {
    if ((await readSettings(this.#env)).approve_campaigns) {
      await this.#unschedule();
      await this.#backToDraft(id, 'it was changed after its approval: it needs approval and a start anew');
      return;
    }
    const found = await findCampaign(this.#db, id);
    if (found === undefined) return;
    const outcome = await this.#start(definitionOf(found.row, found.firmware));
    if (!outcome.ok && this.#begun.book() === undefined) await this.#backToDraft(id, outcome.problem);
  }

  async #beginScheduled(id: string): Promise<void> {
    if (this.#begun.book() === undefined && this.#storage.kv.get('scheduled') === id) {
      const found = await findCampaign(this.#db, id);
      const outcome =
        found === undefined
          ? refuse('the campaign is gone')
          : await this.#begun.begin(definitionOf(found.row, found.firmware));
      if (!outcome.ok) await this.#end(id, outcome.problem);
    }
    this.#storage.kv.delete('scheduled');
  }

  async #unschedule(): Promise<void> {
    if (this.#begun.book() !== undefined) return;
    this.#storage.kv.delete('scheduled');
    await this.#storage.deleteAlarm();
  }

  async #end(id: string, statusReason: string): Promise<void> {
    const change = { status: 'cancelled', statusReason, finishedAt: new Date() } as const;
    await writeCampaign(this.#env, this.#db, id, change);
  }

  async #backToDraft(id: string, statusReason: string): Promise<void> {
    await writeCampaign(this.#env, this.#db, id, { status: 'draft', statusReason });
  }

  /** Tells watchers how it stands before it has begun. */
  async #tell(id: string): Promise<void> {
    const found = await findCampaign(this.#db, id);
    if (found !== undefined) this.#watchers.tell(() => ledgerSnapshot(found));
  }

  /** The campaign's row, where it still says what was seen. */
  async #asSeen(id: string, seen: string): Promise<StoredCampaign | undefined> {
    const row = (await findCampaign(this.#db, id))?.row;
    return row !== undefined && (await fingerprint(row)) === seen ? row : undefined;
  }
}
