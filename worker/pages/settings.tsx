/** `/settings`: the fleet's settings, the bridges, the changes. */
import { Hono } from 'hono';
import { settings as settingsShape } from '../../protocol/settings.ts';
import { page } from '../../views/layout.tsx';
import type { FieldErrors } from '../../views/parts.tsx';
import { SettingsPage } from '../../views/settings.tsx';
import { may } from '../auth/principal.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { changeSettings } from '../operations/settings.ts';
import { fieldErrors, ProblemError, problemOf } from '../problem.ts';
import { fieldsOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

interface Trouble {
  status: 409 | 422;
  problem: string;
  errors?: FieldErrors;
  sent?: Record<string, string>;
}

async function settingsPage(c: AppContext, trouble?: Trouble) {
  const coordinator = c.env.COORDINATOR.getByName('settings');
  const [current, history, bridges] = await Promise.all([
    coordinator.readSettings(),
    coordinator.settingsHistory(),
    c.env.COORDINATOR.getByName('bridges').liveLeases(),
  ]);
  const data = {
    current,
    history,
    bridges,
    mayChange: may(c.var.principal.role, 'administer'),
    problem: trouble?.problem,
    errors: trouble?.errors,
    sent: trouble?.sent,
    saved: trouble === undefined && c.req.query('saved') !== undefined,
    now: new Date(),
  };
  return c.html(
    page('Settings', viewerOf(c), '/settings', <SettingsPage {...data} />),
    trouble?.status ?? 200,
  );
}

/** The form's fields as the API would be told them. */
function readForm(fields: Record<string, string>): unknown {
  const number = (name: string) => (fields[name] === undefined ? undefined : Number(fields[name]));
  const defaults = Object.keys(fields)
    .filter((name) => name.startsWith('campaign_defaults.'))
    .map((name) => [
      name.slice('campaign_defaults.'.length),
      name.endsWith('.on_failure') ? fields[name] : number(name),
    ]);
  const flags = (fields.feature_flags ?? '').split('\n').flatMap((line) => {
    const [name = '', value = ''] = line.split('=').map((part) => part.trim());
    return name === '' ? [] : [[name, value === 'on' ? true : value === 'off' ? false : value]];
  });
  return {
    offline_after_s: number('offline_after_s'),
    approve_first: fields.approve_first === 'true',
    approve_campaigns: fields.approve_campaigns === 'true',
    command_expiry_s: number('command_expiry_s'),
    download_link_s: number('download_link_s'),
    archive_after_days: number('archive_after_days'),
    keep_history_months: number('keep_history_months'),
    max_firmware_bytes: number('max_firmware_bytes'),
    campaign_defaults: Object.fromEntries(defaults),
    feature_flags: Object.fromEntries(flags),
  };
}

export const settings = new Hono<AppEnv>()
  .get('/settings', signedIn('read'), (c) => settingsPage(c))
  .post('/settings', signedIn('administer'), async (c) => {
    const fields = fieldsOf(await c.req.parseBody());
    const wanted = settingsShape.safeParse(readForm(fields));
    if (!wanted.success) {
      const errors = fieldErrors(wanted.error).map(({ field, message }) => ({
        field: field.startsWith('feature_flags') ? 'feature_flags' : field,
        message,
      }));
      const problem = 'Some fields are wrong. Nothing was changed.';
      return settingsPage(c, { status: 422, problem, errors, sent: fields });
    }
    const current = (await c.env.COORDINATOR.getByName('settings').readSettings()).settings;
    const changed = Object.entries(wanted.data).filter(
      ([name, value]) =>
        JSON.stringify(value) !== JSON.stringify(Object.entries(current).find(([key]) => key === name)?.[1]),
    );
    try {
      if (changed.length > 0) await changeSettings(c, Number(fields.version), Object.fromEntries(changed));
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const { title, detail } = await problemOf(error);
      return settingsPage(c, { status: 409, problem: `${title}. ${detail ?? ''}` });
    }
    return c.redirect('/settings?saved', 303);
  });
