/** `/groups`: named sets of devices. */
import { z } from '@hono/zod-openapi';
import {
  changeGroup as changeGroupBody,
  createGroup,
  type Group,
  group,
  groupMembers,
  paging,
} from '../../protocol/api.ts';
import { text } from '../../protocol/identifiers.ts';
import { countGroup, findGroup, listGroups } from '../../store/groups.ts';
import { requires } from '../auth/principal.ts';
import type { AppContext } from '../context.ts';
import { joinGroup, leaveGroup, makeGroup, removeGroup, updateGroup } from '../operations/groups.ts';
import { ProblemError } from '../problem.ts';
import { body, json, page, route, router } from './route.ts';

const tags = ['groups'];
const read = requires('read');
const operate = requires('operate');
const nameParam = z.object({ name: text(64).min(1) });
const counted = group.extend({ devices: z.int() });
const moved = z.object({ devices: z.int() });

/** Throws a 404. */
export async function theGroup(c: AppContext, name: string): Promise<Group> {
  const found = await findGroup(c.var.db, name);
  if (found === undefined) throw new ProblemError(404, 'No such group', 'No group has this name.');
  return found;
}

export const groups = router()
  .openapi(
    route({
      method: 'get',
      path: '/groups',
      tags,
      summary: 'List groups by name',
      middleware: [read] as const,
      request: { query: paging },
      responses: { 200: json(page(group), 'A page of groups') },
    }),
    async (c) => c.json(await listGroups(c.var.db, c.req.valid('query')), 200),
  )
  .openapi(
    route({
      method: 'post',
      path: '/groups',
      tags,
      summary: 'Make a group; with a rule it has the devices for which the rule holds',
      middleware: [operate] as const,
      request: body(createGroup),
      responses: { 201: json(group, 'The group') },
    }),
    async (c) => c.json(await makeGroup(c, c.req.valid('json')), 201),
  )
  .openapi(
    route({
      method: 'get',
      path: '/groups/{name}',
      tags,
      summary: 'One group, and how many devices it has',
      middleware: [read] as const,
      request: { params: nameParam },
      responses: { 200: json(counted, 'The group') },
    }),
    async (c) => {
      const found = await theGroup(c, c.req.valid('param').name);
      return c.json({ ...found, devices: await countGroup(c.var.db, found.name) }, 200);
    },
  )
  .openapi(
    route({
      method: 'put',
      path: '/groups/{name}',
      tags,
      summary: 'Change its description, or the rule of one that has a rule',
      middleware: [operate] as const,
      request: { params: nameParam, ...body(changeGroupBody) },
      responses: { 200: json(group, 'The group as it is now') },
    }),
    async (c) => {
      const found = await theGroup(c, c.req.valid('param').name);
      await updateGroup(c, found, c.req.valid('json'));
      return c.json(await theGroup(c, found.name), 200);
    },
  )
  .openapi(
    route({
      method: 'delete',
      path: '/groups/{name}',
      tags,
      summary: 'Delete it; its devices stay, in no group',
      middleware: [operate] as const,
      request: { params: nameParam },
      responses: { 204: { description: 'It is gone' } },
    }),
    async (c) => {
      await removeGroup(c, await theGroup(c, c.req.valid('param').name));
      return c.body(null, 204);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/groups/{name}/devices',
      tags,
      summary: 'Put devices into a static group',
      middleware: [operate] as const,
      request: { params: nameParam, ...body(groupMembers) },
      responses: { 200: json(moved, 'How many devices it was') },
    }),
    async (c) => {
      const found = await theGroup(c, c.req.valid('param').name);
      return c.json({ devices: await joinGroup(c, found, c.req.valid('json').serial_nos) }, 200);
    },
  )
  .openapi(
    route({
      method: 'delete',
      path: '/groups/{name}/devices',
      tags,
      summary: 'Take devices out of a static group',
      middleware: [operate] as const,
      request: { params: nameParam, ...body(groupMembers) },
      responses: { 200: json(moved, 'How many devices it was') },
    }),
    async (c) => {
      const found = await theGroup(c, c.req.valid('param').name);
      return c.json({ devices: await leaveGroup(c, found, c.req.valid('json').serial_nos) }, 200);
    },
  );
