/** Whether devices fall silent after their update, or go back: asked of the fleet shards, silence judged in `silence.ts`. */
import { comparableDevices, takenElsewhere } from '../../store/campaign-targets.ts';
import type { Database } from '../../store/connection.ts';
import type { Env } from '../env.ts';
import type { LiveDevice, ShownDevice } from '../fleet-shard/live-device.ts';
import { COARSE_MS } from '../fleet-shard/presence.ts';
import type { Book } from './book.ts';
import { inspect } from './fleet.ts';
import { isBackFrom } from './joining.ts';
import type { Member } from './member.ts';
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

  /** Looks where it is time to, and notes in the state how many completed members of each stage are silent or back. */
  async sometimes(book: Book, now: number): Promise<void> {
    if (now - this.#lookedAt >= EVERY_MS) await this.look(book, now);
  }

  async look(book: Book, now: number): Promise<void> {
    this.#lookedAt = now;
    const { state, members } = book;
    const { silence_gate } = book.definition.policy;
    const stages = watched(book, now);
    // Before the first one has completed, too: in a last stage nobody may be left to compare with by then.
    if (stages.length === 0 && (!silence_gate || state.control !== null)) return;
    const most = Math.floor(SAMPLE / Math.max(1, stages.length));
    const updated = stages.map((stage) => ({
      stage,
      some: members.inState(stage, 'completed', most),
    }));
    const untouched = silence_gate ? serials(members.control(SAMPLE)) : [];
    const live = await inspect(this.#env, [...untouched, ...updated.flatMap(({ some }) => serials(some))]);
    const usual = silence_gate
      ? await this.#usual(book, sampleOf(recent(book, untouched, live), live), now)
      : NOBODY;
    const wentBack = updated.flatMap(({ some }) =>
      serials(some.filter((member) => isBack(book, member, live))),
    );
    const taken = await takenElsewhere(this.#db, book.definition.id, wentBack);
    for (const { stage, some } of updated) {
      const all = (n: number) =>
        Math.round((n * (state.counts[stage]?.completed ?? 0)) / Math.max(1, some.length));
      const back = new Set(serials(some).filter((serial) => wentBack.includes(serial) && !taken.has(serial)));
      const stayed = serials(some).filter((serial) => !back.has(serial));
      const silent = all(excessSilence(sampleOf(stayed, live), usual));
      state.silence[stage] = silent;
      state.back[stage] = all(back.size);
      // Who has come back and is lost again, or another in its place, was not accepted.
      const accepted = state.accepted[stage];
      if (accepted !== undefined) accepted.silent = Math.min(accepted.silent, silent + all(back.size));
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
    const live = await inspect(this.#env, others);
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

/** Whether it completed and did not stay; what was only downloaded has changed no device. */
function isBack(
  { definition: { firmware, policy } }: Book,
  { serial_no, from_version }: Member,
  live: Record<string, ShownDevice>,
): boolean {
  const shows = live[serial_no]?.shows;
  return shows !== undefined && policy.kind !== 'download_only' && isBackFrom(firmware, from_version, shows);
}

const NOBODY: Sample = { devices: 0, silent: 0 };

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
