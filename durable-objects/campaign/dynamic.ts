/** Devices that come to match a dynamic campaign while it runs. */
import { hash32 } from '../../protocol/shards.ts';
import { targetDevices } from '../../store/campaign-targets.ts';
import type { Database } from '../../store/connection.ts';
import type { Env } from '../env.ts';
import type { Book } from './book.ts';
import { contenderOf, watch } from './fleet.ts';
import { behindUplinks, type FoundDevice, foundDevice } from './found.ts';
import { newMember } from './joining.ts';
import type { Member } from './member.ts';
import { postpone } from './member-clock.ts';
import { dealAll } from './prepare.ts';
import { sampleBound } from './stages.ts';

/** What keeps a device out only as long as it is so. */
const PASSING = new Set(['revoked', 'not_approved', 'has_version', 'has_newer', 'below_min_version']);
/** A device's heartbeat reaches the campaign before the ledger. */
const LEDGER_LAG_MS = 60_000;

/**
 * Adds them to the last stage; the first who come at all are dealt to the stages like those of a start. Who was left
 * out for what is no longer so, joins like one that is new. Those that have the version already are no news.
 */
export async function joinLate(env: Env, db: Database, book: Book, now: number): Promise<void> {
  const { definition, state } = book;
  for await (const { devices } of targetDevices(db, definition.firmware.model, definition.target)) {
    const late = devices
      .filter(({ serial_no }) => mayJoin(book.members.get(serial_no), now))
      .map((device) => newMember(definition, device))
      .filter(({ skip, serial_no }) => skip === null && isSampled(book, serial_no));
    if (late.length === 0) continue;
    // Told first: a crash in between tells them again, but no member goes unheard.
    const uplinks = await watch(
      env,
      contenderOf(state),
      late.map(({ serial_no }) => serial_no),
    );
    book.rejoin(dealLate(book, behindUplinks(late.map(foundDevice), uplinks), now), now);
    // They may lie before what was claimed already, so the clock is to find them.
    book.decide(late, (member) => postpone(member, now, 'joined while the campaign ran'), now);
    book.keep();
  }
}

const mayJoin = (member: Member | undefined, now: number): boolean =>
  member === undefined ||
  (member.state === 'skipped' &&
    PASSING.has(member.error ?? '') &&
    (member.error !== 'has_version' || now - member.updated_at > LEDGER_LAG_MS));

function dealLate(book: Book, late: FoundDevice[], now: number): (FoundDevice & { stage: number })[] {
  const { stages } = book.definition.policy;
  if (!book.isEmpty) return late.map((device) => ({ ...device, stage: stages.length - 1 }));
  book.beginAnew(now);
  return dealAll(stages, late);
}

/** Whether it is in the sample: who comes later with the same chance, and who was left out at the start never. */
const isSampled = ({ definition: { target } }: Book, serialNo: string): boolean =>
  hash32(serialNo) <= sampleBound(target.percentage ?? 100);
