/**
 * Going back: members that completed a campaign which then failed return to what they had before, by a campaign of
 * its own for each version, so that the same engine and the same checks take them there.
 */
import { campaignPolicy } from '../../protocol/api.ts';
import { sameVersion } from '../../protocol/version.ts';
import { firmwareOf } from '../../store/campaign-targets.ts';
import { addCampaign } from '../../store/campaigns.ts';
import type { Database } from '../../store/connection.ts';
import { type FirmwareRow, listReleases } from '../../store/firmware.ts';
import type { Env } from '../env.ts';
import type { Book } from './book.ts';
import { type Artifact, type Definition, definitionOf } from './definition.ts';
import type { Member } from './member.ts';
import { placeOf, START } from './members.ts';

/** Devices taken back by one campaign. */
const MOST = 100_000;

/** Members that completed after the first are gathered for this long before they go back by campaigns of their own. */
const GATHER_MS = 10_000;

/**
 * Whether those that completed after a moment, the last time some went back or 0, go back now: at once the first time
 * and when nothing is under way any more; in between less and less often, for each time makes a campaign.
 */
export function isTakeBackDue({ state, completed, inFlight }: Book, after: number, now: number): boolean {
  if (after === 0 || inFlight === 0 || state.take_back_until !== null) return true;
  const gathers = Math.max(GATHER_MS, after - (state.finished_at ?? after));
  return now - after >= gathers && completed > state.taken_back;
}

/**
 * Starts the campaigns that take back the members that completed between two moments (Unix milliseconds; the second
 * belongs to it); answers, in sentences, what cannot be taken back. May be repeated: what has been started is not
 * started twice.
 */
export async function takeBack(
  env: Env,
  db: Database,
  book: Book,
  { after, until }: { after: number; until: number },
): Promise<string[]> {
  const { definition } = book;
  const problems: string[] = [];
  // What was only downloaded has changed no device.
  if (definition.policy.kind === 'download_only') return problems;
  const { kind, model, name = null } = definition.firmware;
  const releases = await listReleases(db, { kind, model, name });
  for (let cursor = START; ; ) {
    const members = book.members.completed(cursor, { after, until }, MOST);
    const last = members.at(-1);
    if (last === undefined) return problems;
    const still = await stillOn(db, definition.firmware, members);
    const byVersion = Map.groupBy(still, ({ from_version: from }) =>
      from === null ? 'an unknown version' : (releaseOf(releases, from)?.version ?? from),
    );
    for (const [version, group] of byVersion) {
      const id = await uuidOf([definition.id, version, after, cursor.serial_no].join('\n'));
      const firmware = releaseOf(releases, version);
      const problem = await takeBackTo(env, db, definition, { version, firmware }, group, id);
      if (problem !== undefined) problems.push(problem);
    }
    cursor = placeOf(last);
  }
}

/** The release a device means that says it runs this: it may spell the version otherwise. */
function releaseOf(releases: readonly FirmwareRow[], said: string): FirmwareRow | undefined {
  const same = releases.filter(({ version }) => sameVersion(version, said));
  const published = same.filter(({ state }) => state === 'published');
  return published.find(({ version }) => version === said) ?? published[0] ?? same[0];
}

/** The members that have not been taken on to something else since they completed. */
async function stillOn(
  db: Database,
  { kind, version }: Artifact,
  members: readonly Member[],
): Promise<Member[]> {
  if (kind === 'app') return [...members];
  const running = await firmwareOf(
    db,
    members.map(({ serial_no }) => serial_no),
  );
  // The ledger may not know yet that it has arrived: what it had before says nothing.
  return members.filter(({ serial_no, from_version }) => {
    const now = running.get(serial_no);
    return (
      now == null || sameVersion(now, version) || (from_version !== null && sameVersion(now, from_version))
    );
  });
}

async function takeBackTo(
  env: Env,
  db: Database,
  failed: Definition,
  { version, firmware }: { version: string; firmware: FirmwareRow | undefined },
  members: readonly Member[],
  id: string,
): Promise<string | undefined> {
  if (firmware?.state !== 'published') {
    return `${members.length} cannot go back: ${version} is ${firmware?.state === 'withdrawn' ? 'withdrawn' : 'not published'} for ${failed.firmware.model}`;
  }
  const { max_concurrent, rate_per_minute, ramp, update_timeout_s, max_attempts, windows, max_per_gateway } =
    failed.policy;
  const policy = campaignPolicy.parse({
    stages: [{ name: 'everyone', percentage: 100, success_threshold: 0 }],
    failure_threshold: 100,
    max_concurrent,
    rate_per_minute,
    ramp,
    update_timeout_s,
    max_attempts,
    windows,
    max_per_gateway,
    silence_gate: false,
    priority: 1000,
  });
  const target = { serial_nos: members.map((member) => member.serial_no) };
  const name = `${failed.name.slice(0, 90)}: back to ${version}`;
  const row = await addCampaign(
    db,
    { ...policy, name, firmware_id: firmware.id, target },
    `campaign:${failed.id}`,
    id,
  );
  // It was good enough to be left behind: its own minimum is no reason to stay on a version that failed.
  const definition = definitionOf(row, { ...firmware, minVersion: null });
  const campaign = env.CAMPAIGN.getByName(row.id);
  if ((await campaign.look()) !== null) return undefined;
  const outcome = await campaign.start(definition);
  return outcome.ok ? undefined : `${members.length} did not go back to ${version}: ${outcome.problem}`;
}

/** The same UUID for the same text (RFC 9562 §5.8). */
async function uuidOf(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))).slice(
    0,
    16,
  );
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x80;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  return Buffer.from(hash)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
