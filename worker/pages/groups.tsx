/** `/groups`: the list, one group, and the form. */
import { Hono } from 'hono';
import { createGroup, groupMembers, paging } from '../../protocol/api.ts';
import { countGroup, listGroups } from '../../store/groups.ts';
import { GroupForm, GroupPage, Groups } from '../../views/groups.tsx';
import { errorPage, page } from '../../views/layout.tsx';
import type { FieldErrors } from '../../views/parts.tsx';
import { theGroup } from '../api/groups.ts';
import { deviceStats } from '../api/stats.ts';
import { may } from '../auth/principal.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { joinGroup, leaveGroup, makeGroup, removeGroup } from '../operations/groups.ts';
import { fieldErrors, ProblemError, problemOf } from '../problem.ts';
import { fieldsOf, listOf, queryOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

async function formPage(c: AppContext, values: Record<string, string>, errors?: FieldErrors) {
  const { by_firmware } = await deviceStats(c);
  const models = [...new Set(by_firmware.map(({ model }) => model))].sort();
  const content = <GroupForm values={values} errors={errors} models={models} />;
  return c.html(page('New group', viewerOf(c), '/groups', content), errors === undefined ? 200 : 422);
}

async function groupPage(c: AppContext, name: string, problem?: string) {
  const group = await theGroup(c, name);
  const devices = await countGroup(c.var.db, name);
  const mayOperate = may(c.var.principal.role, 'operate');
  const content = <GroupPage group={group} devices={devices} mayOperate={mayOperate} problem={problem} />;
  return c.html(page(group.name, viewerOf(c), '/groups', content), problem === undefined ? 200 : 409);
}

/** The form's fields as the API would be told them. */
function readForm(fields: Record<string, string>): unknown {
  const pairs = listOf(fields['rule.metadata'])?.map((pair) => {
    const [key = '', ...value] = pair.split('=');
    return [key.trim(), value.join('=').trim()];
  });
  const rule = {
    model: fields['rule.model'],
    fw_version: fields['rule.fw_version'],
    tags: listOf(fields['rule.tags']),
    serial_prefix: fields['rule.serial_prefix'],
    metadata: pairs === undefined ? undefined : Object.fromEntries(pairs),
  };
  const said = Object.values(rule).some((part) => part !== undefined);
  return { name: fields.name ?? '', description: fields.description, ...(said ? { rule } : {}) };
}

export const groups = new Hono<AppEnv>()
  .get('/groups', signedIn('read'), async (c) => {
    const query = queryOf(c);
    const parsed = paging.safeParse(query);
    if (!parsed.success) return c.html(errorPage('No such list', 'The address is no page of the list.'), 400);
    const list = await listGroups(c.var.db, parsed.data);
    const mayOperate = may(c.var.principal.role, 'operate');
    const content = <Groups list={list} query={query} mayOperate={mayOperate} />;
    return c.html(page('Groups', viewerOf(c), '/groups', content));
  })
  .get('/groups/new', signedIn('operate'), (c) => formPage(c, {}))
  .post('/groups/new', signedIn('operate'), async (c) => {
    const fields = fieldsOf(await c.req.parseBody());
    const wanted = createGroup.safeParse(readForm(fields));
    if (!wanted.success) return formPage(c, fields, fieldErrors(wanted.error));
    try {
      const { name } = await makeGroup(c, wanted.data);
      return c.redirect(`/groups/${encodeURIComponent(name)}`, 303);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const { title, detail } = await problemOf(error);
      return formPage(c, fields, [{ field: 'name', message: detail ?? title }]);
    }
  })
  .get('/groups/:name', signedIn('read'), (c) => groupPage(c, c.req.param('name')))
  .post('/groups/:name/devices', signedIn('operate'), async (c) => {
    const group = await theGroup(c, c.req.param('name'));
    const fields = fieldsOf(await c.req.parseBody());
    const members = groupMembers.safeParse({ serial_nos: listOf(fields.serial_nos) ?? [] });
    if (!members.success) return groupPage(c, group.name, 'These are not serial numbers.');
    const move = fields.do === 'leave' ? leaveGroup : joinGroup;
    return orSay(c, group.name, async () => {
      await move(c, group, members.data.serial_nos);
      return c.redirect(`/groups/${encodeURIComponent(group.name)}`, 303);
    });
  })
  .post('/groups/:name/delete', signedIn('operate'), async (c) => {
    const group = await theGroup(c, c.req.param('name'));
    return orSay(c, group.name, async () => {
      await removeGroup(c, group);
      return c.redirect('/groups', 303);
    });
  });

/** What an operation refused is said on the group's page. */
async function orSay(c: AppContext, name: string, work: () => Promise<Response>): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    const { title, detail } = await problemOf(error);
    return groupPage(c, name, `${title}. ${detail ?? ''}`);
  }
}
