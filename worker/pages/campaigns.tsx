/** `/campaigns`: the list, the form, one campaign live. */
import { Hono } from 'hono';
import { z } from 'zod';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import { campaignStatus, createCampaign as createCampaignInput, paging } from '../../protocol/api.ts';
import { errorReportOf } from '../../protocol/error-report.ts';
import { listCampaigns } from '../../store/campaigns.ts';
import { listFirmware } from '../../store/firmware.ts';
import { CampaignPage } from '../../views/campaign-live.tsx';
import { CampaignForm, Campaigns } from '../../views/campaigns.tsx';
import { errorPage, page } from '../../views/layout.tsx';
import type { FieldErrors } from '../../views/parts.tsx';
import { theCampaign } from '../api/lookup.ts';
import { may } from '../auth/principal.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { campaignErrors } from '../operations/campaign-reports.ts';
import { act, CAMPAIGN_ACTIONS, campaignNow, createCampaign } from '../operations/campaigns.ts';
import { fieldErrors, ProblemError, problemOf } from '../problem.ts';
import { fieldsOf, listOf, queryOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

const filter = paging.extend({
  status: campaignStatus.optional(),
  archived: z.stringbool({ truthy: ['true'], falsy: ['false'] }).optional(),
});

async function formPage(c: AppContext, values: Record<string, string>, errors?: FieldErrors) {
  const firmware = await listFirmware(c.var.db, { state: 'published' }, { limit: 200 });
  return c.html(
    page(
      'New campaign',
      viewerOf(c),
      '/campaigns',
      <CampaignForm values={values} firmware={firmware.items} errors={errors} />,
    ),
    errors === undefined ? 200 : 422,
  );
}

async function campaignPage(c: AppContext, id: string, problem?: string) {
  const { campaign, metrics, latest } = await campaignNow(c, id);
  const errors =
    metrics.errors.length === 0
      ? errorReportOf([], '', false)
      : await campaignErrors(c, await theCampaign(c, id));
  const view = { status: campaign.status, reason: campaign.status_reason, metrics, latest };
  const mayOperate = may(c.var.principal.role, 'operate');
  return c.html(
    page(
      campaign.name,
      viewerOf(c),
      '/campaigns',
      <CampaignPage
        campaign={campaign}
        view={view}
        errors={errors}
        mayOperate={mayOperate}
        problem={problem}
      />,
    ),
    problem === undefined ? 200 : 409,
  );
}

/** The form's fields as the API would be told them. */
function readForm(fields: Record<string, string>): unknown {
  const numbers = [
    'failure_threshold',
    'max_concurrent',
    'rate_per_minute',
    'update_timeout_s',
    'max_attempts',
  ] as const;
  const number = (name: string) => (fields[name] === undefined ? undefined : Number(fields[name]));
  return {
    name: fields.name ?? '',
    firmware_id: fields.firmware_id ?? '',
    target: {
      fw_version: fields['target.fw_version'],
      groups: listOf(fields['target.groups']),
      tags: listOf(fields['target.tags']),
      serial_nos: listOf(fields['target.serial_nos']),
    },
    stages: (fields.stages ?? '100').split(',').map((percentage) => ({
      name: percentage === '100' ? 'everyone' : `${percentage} %`,
      percentage: Number(percentage),
      success_threshold: number('success_threshold'),
      min_duration_s: number('min_duration_s'),
    })),
    on_failure: fields.on_failure,
    ...Object.fromEntries(numbers.map((name) => [name, number(name)])),
  };
}

/** A stage's field stands once in the form, for all of them. */
const toFormField = (field: string): string => field.replace(/^stages\.\d+\./, '');

export const campaigns = new Hono<AppEnv>()
  .get('/campaigns', signedIn('read'), async (c) => {
    const query = queryOf(c);
    const parsed = filter.safeParse(query);
    if (!parsed.success)
      return c.html(errorPage('No such list', 'The address holds a filter that does not exist.'), 400);
    const { limit, cursor, ...by } = parsed.data;
    const list = await listCampaigns(c.var.db, by, { limit, cursor });
    const mayOperate = may(c.var.principal.role, 'operate');
    return c.html(
      page(
        'Campaigns',
        viewerOf(c),
        '/campaigns',
        <Campaigns list={list} query={query} mayOperate={mayOperate} now={new Date()} />,
      ),
    );
  })
  .get('/campaigns/new', signedIn('operate'), async (c) => {
    const { campaign_defaults } = await readSettings(c.env);
    const defaults = Object.entries(campaign_defaults).map(([name, value]) => [name, String(value)]);
    return formPage(c, { ...Object.fromEntries(defaults), ...queryOf(c) });
  })
  .post('/campaigns/new', signedIn('operate'), async (c) => {
    const fields = fieldsOf(await c.req.parseBody());
    const create = createCampaignInput.safeParse(readForm(fields));
    if (!create.success) {
      const errors = fieldErrors(create.error).map((error) => ({
        ...error,
        field: toFormField(error.field),
      }));
      return formPage(c, fields, errors);
    }
    try {
      const { id } = await createCampaign(c, create.data, create.data);
      return c.redirect(`/campaigns/${id}`, 303);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const { title, detail } = await problemOf(error);
      return formPage(c, fields, [{ field: '', message: `${title}. ${detail ?? ''}` }]);
    }
  })
  .get('/campaigns/:id', signedIn('read'), (c) => campaignPage(c, c.req.param('id')))
  .post('/campaigns/:id/:action', signedIn('operate'), async (c) => {
    const { id, action } = c.req.param();
    const known = CAMPAIGN_ACTIONS.find((name) => name === action);
    if (known === undefined) return c.html(errorPage('Not found', 'There is no such page.'), 404);
    try {
      await act(c, await theCampaign(c, id), known);
      return c.redirect(`/campaigns/${id}`, 303);
    } catch (error) {
      if (!(error instanceof ProblemError) || error.status !== 409) throw error;
      const { title, detail } = await problemOf(error);
      return campaignPage(c, id, `${title}: ${detail ?? ''}`);
    }
  })
  .get('/live/campaigns/:id', signedIn('read'), async (c) => {
    const { row } = await theCampaign(c, c.req.param('id'));
    const url = new URL(c.req.url);
    url.searchParams.set('format', 'html');
    return c.env.CAMPAIGN.getByName(row.id).fetch(new Request(url, c.req.raw));
  });
