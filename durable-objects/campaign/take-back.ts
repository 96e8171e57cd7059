/**
 * Going back: members that completed a campaign which then failed return to what they had before, by a campaign of
 * its own for each version, so that the same engine and the same checks take them there.
 */
import { campaignPolicy } from '../../protocol/api.ts';
import { addCampaign } from '../../store/campaigns.ts';
import type { Database } from '../../store/connection.ts';
import { findFirmwareNamed } from '../../store/firmware.ts';
import type { Env } from '../env.ts';
import { type Definition, definitionOf } from './definition.ts';
import type { Member } from './member.ts';

/** Starts the campaigns that take these members back; answers, in sentences, what cannot be taken back. */
export async function takeBack(
  env: Env,
  db: Database,
  failed: Definition,
  members: readonly Member[],
): Promise<string[]> {
  const problems: string[] = [];
  const byVersion = Map.groupBy(members, (member) => member.from_version ?? 'an unknown version');
  for (const [version, group] of byVersion) {
    const problem = await takeBackTo(env, db, failed, version, group);
    if (problem !== undefined) problems.push(problem);
  }
  return problems;
}

async function takeBackTo(
  env: Env,
  db: Database,
  failed: Definition,
  version: string,
  members: readonly Member[],
): Promise<string | undefined> {
  const { kind, model } = failed.firmware;
  const firmware = await findFirmwareNamed(db, { kind, model, name: failed.firmware.name ?? null, version });
  if (firmware?.state !== 'published') {
    return `${members.length} cannot go back: ${version} is not published for ${failed.firmware.model}`;
  }
  const { max_concurrent, rate_per_minute, update_timeout_s, max_attempts } = failed.policy;
  const policy = campaignPolicy.parse({
    stages: [{ name: 'everyone', percentage: 100, success_threshold: 0 }],
    failure_threshold: 100,
    max_concurrent,
    rate_per_minute,
    update_timeout_s,
    max_attempts,
    silence_gate: false,
    priority: 1000,
  });
  const target = { serial_nos: members.map((member) => member.serial_no) };
  const name = `${failed.name.slice(0, 90)}: back to ${version}`;
  const row = await addCampaign(
    db,
    { ...policy, name, firmware_id: firmware.id, target },
    `campaign:${failed.id}`,
  );
  // It was good enough to be left behind: its own minimum is no reason to stay on a version that failed.
  const definition = definitionOf(row, { ...firmware, minVersion: null });
  const outcome = await env.CAMPAIGN.getByName(row.id).start(definition);
  return outcome.ok ? undefined : `${members.length} did not go back to ${version}: ${outcome.problem}`;
}
