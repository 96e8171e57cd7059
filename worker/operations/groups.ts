/** What can be done to groups, for the API and the pages alike. */

import type { z } from 'zod';
import type { createGroup, Group, GroupRule } from '../../protocol/api.ts';
import { auditEntry } from '../../store/audit-log.ts';
import {
  addGroup,
  campaignsOfGroup,
  changeGroup,
  countInGroup,
  deleteGroup,
  setGroup,
} from '../../store/groups.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { devicesChanged, mustExist, RULED } from './devices.ts';

const note = (c: AppContext, action: string, subject: string, detail: Record<string, unknown> = {}) =>
  auditEntry(c.var.db, { actor: c.var.principal.actor, action, subject, detail });

/** Throws a 409 where the name is taken, by a group or by what devices say. */
export async function makeGroup(c: AppContext, wanted: z.infer<typeof createGroup>): Promise<Group> {
  const { name, description } = wanted;
  const rule = wanted.rule ?? null;
  if (rule !== null && (await countInGroup(c.var.db, name)) > 0) {
    throw new ProblemError(
      409,
      'Devices have this name',
      'Devices are in a group of this name by hand, or by their own word: choose another, or take them out first.',
    );
  }
  if (!(await addGroup(c.var.db, { name, description, rule }))) {
    throw new ProblemError(409, 'Name taken', 'There is a group of this name already.');
  }
  await note(c, 'group.create', name, { rule });
  return { name, kind: rule === null ? 'static' : 'rule', description, rule };
}

/** Throws a 422 where a static group is to get a rule: its devices were chosen one by one. */
export async function updateGroup(
  c: AppContext,
  group: Group,
  change: { description?: string | undefined; rule?: GroupRule | undefined },
): Promise<void> {
  if (change.rule !== undefined && group.kind === 'static') {
    throw new ProblemError(422, 'A static group has no rule', 'Make another group with this rule.');
  }
  await changeGroup(c.var.db, group.name, change);
  await note(c, 'group.change', group.name, change);
}

/** Throws a 409 while a campaign that is not over names it. */
export async function removeGroup(c: AppContext, group: Group): Promise<void> {
  const campaigns = await campaignsOfGroup(c.var.db, group.name);
  if (campaigns.length > 0) {
    throw new ProblemError(
      409,
      'Group in use',
      `Campaigns that are not over name it: ${campaigns.join(', ')}.`,
    );
  }
  await devicesChanged(c, await deleteGroup(c.var.db, group.name));
  await note(c, 'group.delete', group.name);
}

/** Puts devices into a static group, all or none; answers how many. */
export async function joinGroup(c: AppContext, group: Group, serialNos: readonly string[]): Promise<number> {
  mustBeStatic(group);
  await mustExist(c, serialNos);
  return move(c, 'group.join', group, await setGroup(c.var.db, serialNos, group.name));
}

/** Takes devices out of a static group; those that are not in it stay as they are. */
export async function leaveGroup(c: AppContext, group: Group, serialNos: readonly string[]): Promise<number> {
  mustBeStatic(group);
  await mustExist(c, serialNos);
  return move(c, 'group.leave', group, await setGroup(c.var.db, serialNos, null, group.name));
}

async function move(c: AppContext, action: string, { name }: Group, moved: string[]): Promise<number> {
  await devicesChanged(c, moved);
  await note(c, action, name, { devices: moved.length });
  return moved.length;
}

function mustBeStatic({ kind }: Group): void {
  if (kind === 'static') return;
  throw new ProblemError(422, 'The group has a rule', RULED);
}
