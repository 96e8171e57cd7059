/** A campaign at its very start: its members found, dealt out to the stages, and counted. */
import { targetDevices } from '../../store/campaign-targets.ts';
import type { Database } from '../../store/connection.ts';
import type { CampaignState, Definition } from './definition.ts';
import { newMember } from './joining.ts';
import { type Members, noFailures } from './members.ts';

/** Fills the members' tables anew; `undefined` where no device needs the firmware. */
export async function materialise(
  db: Database,
  members: Members,
  definition: Definition,
  now: number,
): Promise<CampaignState | undefined> {
  members.create();
  for await (const page of targetDevices(db, definition.firmware.model, definition.target)) {
    members.add(
      page.map((device) => newMember(definition, device)),
      now,
    );
  }
  const { stages } = definition.policy;
  const { percentage, dynamic } = definition.target;
  if (members.eligible === 0 && dynamic !== true) return undefined;
  if (percentage !== undefined) members.sample(percentage);
  members.deal(stages);
  return {
    definition,
    status: 'active',
    reason: null,
    stage: 0,
    stage_opened_at: now,
    released: false,
    accepted_failures: 0,
    silent: 0,
    silence_accepted: false,
    cursor: { h: -1, serial_no: '' },
    counts: members.count(stages.length),
    failures: stages.map(noFailures),
    errors: {},
    started_at: now,
    finished_at: null,
    take_back_after: null,
    unwritten: true,
  };
}
