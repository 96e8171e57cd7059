/** Whether devices fall silent after their update: asked of the fleet shards, decided in `silence.ts`. */
import { comparableDevices } from '../../store/campaign-targets.ts';
import type { Database } from '../../store/connection.ts';
import type { Env } from '../env.ts';
import type { LiveDevice } from '../fleet-shard/fleet-shard.ts';
import { COARSE_MS } from '../fleet-shard/presence.ts';
import type { Book } from './book.ts';
import { look } from './fleet.ts';
import { excessSilence, isTelling, type Sample } from './silence.ts';

const EVERY_MS = 5000;
/** How often the ledger is asked for devices outside the campaign, where it has too few to compare with itself. */
const OUTSIDE_MS = 300_000;
/** Devices looked at on either side. */
const SAMPLE = 500;
/** A device that was not heard shortly before the stage opened says nothing about what is usual during it. */
const RECENT_MS = 10 * 60_000;
/** A stage is watched for this long after it has passed: it may have had no bake time, and silence takes its time. */
const AFTERWARDS_MS = 3_600_000;

/**
 * What was usual is believed for this long when nobody is left to compare with. Not longer: devices that are switched
 * off every evening must not look as if the update had silenced them.
 */
const USUAL_MS = 3_600_000;

export class SilenceWatch {
  readonly #env: Env;
  readonly #db: Database;
  #lookedAt = 0;
  #askedAt = 0;

  constructor(env: Env, db: Database) {
    this.#env = env;
    this.#db = db;
  }

  /** Looks where it is time to, and notes in the state how many completed members of each stage are silent. */
  async sometimes(book: Book, now: number): Promise<void> {
    if (now - this.#lookedAt >= EVERY_MS) await this.look(book, now);
  }

  async look(book: Book, now: number): Promise<void> {
    this.#lookedAt = now;
    const { state, members } = book;
    if (!book.definition.policy.silence_gate) return;
    const stages = watched(book, now);
    // Before the first one has completed, too: in a last stage nobody may be left to compare with by then.
    if (stages.length === 0 && state.control !== null) return;
    const most = Math.floor(SAMPLE / Math.max(1, stages.length));
    const updated = stages.map((stage) => ({
      stage,
      serials: serials(members.inState(stage, 'completed', most)),
    }));
    const untouched = serials(members.control(SAMPLE));
    const live = await look(this.#env, [...untouched, ...updated.flatMap((some) => some.serials)]);
    const usual = await this.#usual(book, sampleOf(recent(book, untouched, live), live), now);
    for (const { stage, serials } of updated) {
      const completed = state.counts[stage]?.completed ?? 0;
      const excess = excessSilence(sampleOf(serials, live), usual);
      const silent = Math.round((excess * completed) / Math.max(1, serials.length));
      state.silence[stage] = silent;
      // Who has come back and falls silent again, or another in its place, was not accepted.
      const accepted = state.accepted[stage];
      if (accepted !== undefined) accepted.silent = Math.min(accepted.silent, silent);
    }
  }

  /** What is usual: for members that were not updated, else for others like them, else as it was seen last. */
  async #usual(book: Book, own: Sample, now: number): Promise<Sample> {
    const { state } = book;
    const all =
      isTelling(own) || now - this.#askedAt < OUTSIDE_MS ? own : add(own, await this.#outside(book, now));
    if (isTelling(all)) state.control = { ...all, at: now };
    return state.control !== null && now - state.control.at < USUAL_MS ? state.control : all;
  }

  async #outside(book: Book, now: number): Promise<Sample> {
    this.#askedAt = now;
    const { id, firmware } = book.definition;
    const since = new Date(book.state.stage_opened_at - RECENT_MS - COARSE_MS);
    const found = await comparableDevices(this.#db, id, firmware, since, SAMPLE);
    // The ledger may not know all of its members yet.
    const others = found.filter((serial) => book.members.get(serial) === undefined);
    const live = await look(this.#env, others);
    return sampleOf(recent(book, others, live), live);
  }
}

/** The stages with completed members that may still be found to have fallen silent. */
function watched({ state }: Book, now: number): number[] {
  return state.counts.flatMap(({ completed }, stage) => {
    const passedAt = state.passed_at[stage];
    const isWatched = stage === state.stage || (passedAt !== undefined && now - passedAt < AFTERWARDS_MS);
    return completed > 0 && isWatched ? [stage] : [];
  });
}

const serials = (members: readonly { serial_no: string }[]) => members.map(({ serial_no }) => serial_no);

const recent = ({ state }: Book, serialNos: readonly string[], live: Record<string, LiveDevice>): string[] =>
  serialNos.filter((serial) => (live[serial]?.last_seen ?? 0) > state.stage_opened_at - RECENT_MS);

function sampleOf(serialNos: readonly string[], live: Record<string, LiveDevice>): Sample {
  const silent = serialNos.filter((serial) => live[serial]?.online === false).length;
  return { devices: serialNos.length, silent };
}

const add = (a: Sample, b: Sample): Sample => ({
  devices: a.devices + b.devices,
  silent: a.silent + b.silent,
});
