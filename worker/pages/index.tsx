/** Every page, behind one strict content security policy. */
import { Hono } from 'hono';
import { BadCursor } from '../../store/page.ts';
import { errorPage } from '../../views/layout.tsx';
import type { AppEnv } from '../context.ts';
import { ProblemError, problemOf } from '../problem.ts';
import { access } from './access.tsx';
import { auditLog } from './audit-log.tsx';
import { campaignForms } from './campaign-forms.tsx';
import { campaignRehearsal } from './campaign-rehearsal.tsx';
import { campaignReports } from './campaign-reports.tsx';
import { campaigns } from './campaigns.tsx';
import { devices } from './devices.tsx';
import { firmware } from './firmware.tsx';
import { groups } from './groups.tsx';
import { overview } from './overview.tsx';
import { session } from './session.tsx';
import { settings } from './settings.tsx';

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types htmx upload',
].join('; ');

export const pages = new Hono<AppEnv>();
pages.use(async (c, next) => {
  await next();
  if (c.res.status === 101 || c.res.headers.get('Content-Type')?.startsWith('text/html') !== true) return;
  c.header('Content-Security-Policy', POLICY);
  c.header('Cache-Control', 'no-store');
  c.header('Referrer-Policy', 'same-origin');
});
for (const part of [
  session,
  overview,
  devices,
  groups,
  firmware,
  campaignForms,
  campaigns,
  campaignRehearsal,
  campaignReports,
  settings,
  access,
  auditLog,
])
  pages.route('/', part);

pages.onError(async (error, c) => {
  if (error instanceof BadCursor) return c.html(errorPage('No such page', `${error.message}.`), 400);
  if (!(error instanceof ProblemError)) throw error;
  const { title, detail } = await problemOf(error);
  return c.html(errorPage(title, detail ?? ''), error.status);
});
