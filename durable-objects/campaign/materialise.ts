/** A campaign at its very start: its members found, dealt out to the stages, and counted. */
import { targetDevices } from '../../store/campaign-targets.ts';
import type { Database } from '../../store/connection.ts';
import type { CampaignState, Definition } from './definition.ts';
import { newMember } from './joining.ts';
import type { Members } from './members.ts';
import { stageEnds } from './stages.ts';

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
  const eligible = members.count(1)[0]?.pending ?? 0;
  if (eligible === 0) return undefined;
  members.deal(stageEnds(eligible, stages));
  return {
    definition,
    status: 'active',
    reason: null,
    stage: 0,
    stage_opened_at: now,
    accepted_failures: 0,
    cursor: { h: -1, serial_no: '' },
    counts: members.count(stages.length),
    errors: {},
    started_at: now,
    finished_at: null,
    take_back_after: null,
    unwritten: true,
  };
}
