/** Who begins now: within concurrency, rate, windows and gateways, and only devices no other campaign has. */
import { DEVICE_ZONE } from '../../protocol/api.ts';
import { commandTopic } from '../../protocol/topics.ts';
import type { Env } from '../env.ts';
import type { Claimed } from '../fleet-shard/watches.ts';
import type { Book } from './book.ts';
import { claim, contenderOf } from './fleet.ts';
import { type Change, type Member, offer, skip, waitFor } from './member.ts';
import { isDue, postpone, untilWindow } from './member-clock.ts';
import type { Cursor } from './member-rows.ts';
import { placeOf } from './members.ts';
import { offerCommands } from './offers.ts';
import { rateNow } from './pace.ts';
import { waitForWindow } from './windows.ts';

/** Most members offered in one tick. */
const BATCH = 1000;
/** Members looked at for those that may begin, at least: whoever may not must not keep the place of one that may. */
const LOOK = 200;
/** How often in one tick others take the place of those that turn out not to be there. */
const ROUNDS = 10;
/** A device that is busy with something else is tried again after this. */
const BUSY_MS = 10_000;

const WAITS_FOR_WINDOW = 'waits for its maintenance window';

/** Members that may begin now, and the last member of the order that need not be looked at again. */
export interface Choice {
  chosen: Member[];
  cursor: Cursor;
}

/**
 * Offers the update to as many members as may have it now. They are marked first: a crash before the commands are
 * queued leaves offers nobody got, which run out and are made again. `due` are members the clock has woken.
 */
export async function offerNext(env: Env, book: Book, due: readonly Member[], now: number): Promise<void> {
  await offerRounds(env, book, due, now);
  if (book.state.status === 'active') sayWhatWaits(book, now);
}

async function offerRounds(env: Env, book: Book, due: readonly Member[], now: number): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const { chosen, cursor } = chooseNext(book, round === 0 ? due : [], now);
    book.keep();
    const offered = await offerTo(env, book, chosen, now, { cursor });
    book.pace.giveBack(chosen.length - offered.length);
    if (chosen.length === offered.length || book.state.status !== 'active') return;
  }
}

/**
 * Offers the update to a member that asks for itself, within everything the policy limits. Answers it where it has been
 * offered the update, now or meanwhile.
 */
export async function offerAsking(
  env: Env,
  book: Book,
  serialNo: string,
  now: number,
): Promise<Member | undefined> {
  const { state, members, definition } = book;
  const member = members.get(serialNo);
  if (member === undefined || member.state === 'offered') return member;
  if (member.state !== 'pending' || state.status !== 'active' || member.stage > state.stage) return undefined;
  // A failed attempt is tried again when it is time, however often the device asks.
  if (member.attempt > 0 && member.offered_at === null && !isDue(member, now)) return undefined;
  const { policy } = definition;
  if (policy.max_concurrent <= book.inFlight) return undefined;
  if (waitForWindow(policy.windows, member.zone, now) > 0) return undefined;
  const most = book.pace.take(now, rateNow(policy, book.completed), 1);
  const { chosen } = members.batch([], () => choose(book, [member], most, now));
  const [offered] = await offerTo(env, book, chosen, now, { asking: true });
  if (offered === undefined) book.pace.giveBack(most);
  return offered;
}

/** As many members as may begin now, within everything the policy limits. */
export function chooseNext(book: Book, due: readonly Member[], now: number): Choice {
  const { state, members, definition } = book;
  const { policy } = definition;
  const room = Math.min(BATCH, policy.max_concurrent - book.inFlight);
  const again = due.filter((member) => member.stage <= state.stage && isDue(member, now));
  const shut = shutFor(book, now);
  if (shut > 0)
    book.decide(again, (member) => untilWindow(member, policy, now, now + shut, WAITS_FOR_WINDOW), now);
  if (room <= 0 || shut > 0) return { chosen: [], cursor: state.cursor };
  const look = Math.max(room, LOOK);
  const candidates = [...again, ...book.untouched(look)].slice(0, look);
  const most = book.pace.take(now, rateNow(policy, book.completed), Math.min(room, candidates.length));
  const choice = members.batch([], () => choose(book, candidates, most, now));
  book.pace.giveBack(most - choice.chosen.length);
  return choice;
}

/**
 * Offers the update to these members, as far as no other campaign has them and they are there. Answers those that have
 * it now. `cursor` is the last member that need not be looked at again; it moves only with them, so that nobody is
 * passed over when they are not offered it after all. Who is `asking` is there, whatever was heard of it.
 */
async function offerTo(
  env: Env,
  book: Book,
  chosen: readonly Member[],
  now: number,
  { cursor, asking = false }: { cursor?: Cursor; asking?: boolean } = {},
): Promise<Member[]> {
  const { state } = book;
  if (chosen.length === 0) {
    state.cursor = cursor ?? state.cursor;
    return [];
  }
  const { refused, offline } = await claim(
    env,
    contenderOf(state),
    chosen.map(({ serial_no }) => serial_no),
  );
  // Meanwhile an operator may have paused, or a device reported.
  if (state.status !== 'active') return [];
  const choice = { chosen: [...chosen], cursor: cursor ?? state.cursor };
  const offered = grant(book, choice, { refused, offline: asking ? [] : offline }, now);
  await enqueue(env, book, offered);
  return offered;
}

/**
 * Marks the chosen members as offered the update, but for those another campaign has, and those that are not there:
 * these wait until they are heard from, and cost no concurrency. Answers those that are offered it.
 */
export function grant(book: Book, { chosen, cursor }: Choice, claimed: Claimed, now: number): Member[] {
  const offline = new Set(claimed.offline);
  const decision = (member: Member): Change => {
    if (member.state !== 'pending') return undefined;
    const why = claimed.refused[member.serial_no];
    if (why === undefined) return offline.has(member.serial_no) ? waitFor(member, now) : offer(member, now);
    return why.superseded
      ? skip(member, 'superseded', `the newer campaign "${why.by}" has it`, now)
      : postpone(member, now + BUSY_MS, `the campaign "${why.by}" has it first`);
  };
  const offered = book
    .decide(chosen, decision, now)
    .filter(({ state, serial_no }) => state === 'offered' && claimed.refused[serial_no] === undefined);
  book.state.cursor = cursor;
  book.keep();
  return offered;
}

async function enqueue(env: Env, { definition }: Book, offered: readonly Member[]): Promise<void> {
  const made = await offerCommands(env, definition, offered);
  await env.BROKER_LINK.getByName('main').enqueue(
    made.map(({ member, command, expires_at }) => ({
      serial_no: member.serial_no,
      topic: commandTopic(member.serial_no),
      payload: JSON.stringify(command),
      campaign_id: definition.id,
      expires_at,
    })),
  );
}

/**
 * The first `most` candidates that may begin; those before them that may not wait until they may. And the last member
 * of the order that was looked at.
 */
function choose(book: Book, candidates: readonly Member[], most: number, now: number): Choice {
  const { max_per_gateway } = book.definition.policy;
  const behind = max_per_gateway == null ? undefined : book.members.byGateway();
  const chosen: Member[] = [];
  let { cursor } = book.state;
  for (const member of candidates) {
    if (chosen.length >= most) break;
    if (member.attempt === 0 && member.wake_at === null) cursor = placeOf(member);
    const wait = waitForWindow(book.definition.policy.windows, member.zone, now);
    const before = (member.gateway === null ? undefined : behind?.get(member.gateway)) ?? 0;
    if (wait > 0) {
      const guessed = member.zone === null && usesDeviceZones(book) ? ' (its time zone is guessed)' : '';
      const detail = `${WAITS_FOR_WINDOW}${guessed}`;
      const declined = member.error !== null;
      const change = declined
        ? postpone(member, now + wait, detail)
        : untilWindow(member, book.definition.policy, now, now + wait, detail);
      book.move(member, change, now);
    } else if (max_per_gateway != null && member.gateway !== null && before >= max_per_gateway) {
      book.move(member, postpone(member, now + BUSY_MS, `waits for others behind ${member.gateway}`), now);
    } else {
      if (member.gateway !== null) behind?.set(member.gateway, before + 1);
      chosen.push(member);
    }
  }
  return { chosen, cursor };
}

/** How long nobody at all may begin, in milliseconds; 0 where that is up to each device. */
function shutFor(book: Book, now: number): number {
  return usesDeviceZones(book) ? 0 : waitForWindow(book.definition.policy.windows, null, now);
}

/** Adds to the campaign's reason why nothing is under way, where somebody waits for something else than the gate. */
function sayWhatWaits(book: Book, now: number): void {
  const { state, members, inFlight } = book;
  const shut = shutFor(book, now);
  const waiting = shut === 0 && inFlight === 0 ? members.waitingFor(state.stage) : undefined;
  const why =
    shut > 0
      ? `the next maintenance window opens at ${new Date(now + shut).toISOString().slice(0, 16)}Z`
      : waiting && `${waiting.serial_no}: ${waiting.detail}`;
  if (why !== undefined) state.reason = state.reason === null ? why : `${state.reason}; ${why}`;
}

const usesDeviceZones = ({ definition: { policy } }: Book): boolean =>
  policy.windows.some(({ time_zone }) => time_zone === DEVICE_ZONE);
