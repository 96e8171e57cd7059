/** Whether devices fall silent after their update: asked of the fleet shards, decided in `silence.ts`. */
import type { Env } from '../env.ts';
import type { LiveDevice } from '../fleet-shard/fleet-shard.ts';
import type { Book } from './book.ts';
import { look } from './fleet.ts';
import { excessSilence, isTelling, type Sample } from './silence.ts';

/** Devices looked at on either side. */
const SAMPLE = 500;
/** A device that was not heard shortly before the stage opened says nothing about what is usual during it. */
const RECENT_MS = 10 * 60_000;

/**
 * What was usual is believed for this long when nobody is left to compare with. Not longer: devices that are switched
 * off every evening must not look as if the update had silenced them.
 */
const USUAL_MS = 3_600_000;

/** Notes in the state how many of the open stage's completed members are silent beyond what is usual. */
export async function watchSilence(env: Env, { state, members, definition }: Book): Promise<void> {
  const completed = state.counts[state.stage]?.completed ?? 0;
  if (!definition.policy.silence_gate || state.silence_accepted) return;
  // Before the first one has completed, too: in a last stage nobody may be left to compare with by then.
  if (completed === 0 && state.control !== null) return;
  const now = Date.now();
  const updated = members.inState(state.stage, 'completed', SAMPLE).map(({ serial_no }) => serial_no);
  const others = members.control(SAMPLE).map(({ serial_no }) => serial_no);
  const live = await look(env, [...updated, ...others]);
  const recent = others.filter(
    (serial) => (live[serial]?.last_seen ?? 0) > state.stage_opened_at - RECENT_MS,
  );
  const control = sampleOf(recent, live);
  if (isTelling(control)) state.control = { ...control, at: now };
  const usual = state.control !== null && now - state.control.at < USUAL_MS ? state.control : control;
  const excess = excessSilence(sampleOf(updated, live), usual);
  state.silent = Math.round((excess * completed) / Math.max(1, updated.length));
}

function sampleOf(serialNos: readonly string[], live: Record<string, LiveDevice>): Sample {
  const silent = serialNos.filter((serial) => live[serial]?.online === false).length;
  return { devices: serialNos.length, silent };
}
