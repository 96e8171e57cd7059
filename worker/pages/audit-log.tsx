/** `/settings/audit-log`: who did what. */
import { Hono } from 'hono';
import { paging } from '../../protocol/api.ts';
import { auditFilter } from '../../protocol/audit.ts';
import { listAudit } from '../../store/audit-log.ts';
import { AuditLog } from '../../views/audit-log.tsx';
import { errorPage, page } from '../../views/layout.tsx';
import type { AppEnv } from '../context.ts';
import { queryOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

export const auditLog = new Hono<AppEnv>().get('/settings/audit-log', signedIn('administer'), async (c) => {
  const query = queryOf(c);
  const [filter, wanted] = [auditFilter.safeParse(query), paging.safeParse(query)];
  if (!filter.success || !wanted.success) {
    return c.html(errorPage('No such list', 'The address holds a filter that does not exist.'), 400);
  }
  const { items, next_cursor } = await listAudit(c.var.db, filter.data, wanted.data);
  const content = <AuditLog records={items} next={next_cursor} query={query} />;
  return c.html(page('Audit log', viewerOf(c), '/settings', content));
});
