/** Devices that come to match a dynamic campaign while it runs. */
import { hash32 } from '../../protocol/shards.ts';
import { targetDevices } from '../../store/campaign-targets.ts';
import type { Database } from '../../store/connection.ts';
import type { Env } from '../env.ts';
import type { Book } from './book.ts';
import { contenderOf, watch } from './fleet.ts';
import { behindUplinks, foundDevice } from './found.ts';
import { newMember } from './joining.ts';
import { postpone } from './member.ts';

const HASHES = 2 ** 32;

/** Adds them to the last stage; those that have the version already are no news. */
export async function joinLate(env: Env, db: Database, book: Book, now: number): Promise<void> {
  const { definition, state, members } = book;
  const last = definition.policy.stages.length - 1;
  for await (const { devices } of targetDevices(db, definition.firmware.model, definition.target)) {
    const late = devices
      .filter(({ serial_no }) => members.get(serial_no) === undefined)
      .map((device) => newMember(definition, device))
      .filter(({ skip, serial_no }) => skip === null && isSampled(book, serial_no));
    if (late.length === 0) continue;
    // Told first: a crash in between tells them again, but no member goes unheard.
    const uplinks = await watch(
      env,
      contenderOf(state),
      late.map(({ serial_no }) => serial_no),
    );
    const found = late.map((device) => ({ ...foundDevice(device), stage: last }));
    book.join(behindUplinks(found, uplinks), now);
    // They may lie before what was claimed already, so the clock is to find them.
    book.decide(late, (member) => postpone(member, now, 'joined while the campaign ran'), now);
    book.keep();
  }
}

/**
 * Whether a sample has room for it: the sample is what lies first in the order of hashes, so who comes later is in it
 * with the same chance, and who was left out at the start stays out.
 */
function isSampled({ definition: { target }, state }: Book, serialNo: string): boolean {
  const { percentage = 100 } = target;
  return percentage === 100 || hash32(serialNo) <= (state.sample_end ?? (HASHES * percentage) / 100);
}
