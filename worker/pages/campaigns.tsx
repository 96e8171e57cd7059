/** `/campaigns`: the list, one campaign live. */
import { Hono } from 'hono';
import { z } from 'zod';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import { campaignStatus, paging } from '../../protocol/api.ts';
import { errorReportOf } from '../../protocol/error-report.ts';
import { listCampaigns } from '../../store/campaigns.ts';
import { findDeviceBySerial } from '../../store/devices.ts';
import { CampaignPage } from '../../views/campaign-live.tsx';
import { Campaigns } from '../../views/campaigns.tsx';
import { errorPage, page } from '../../views/layout.tsx';
import { etagOf } from '../api/etag.ts';
import { theCampaign } from '../api/lookup.ts';
import { webSocketOnly } from '../api/route.ts';
import { may } from '../auth/principal.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { campaignErrors } from '../operations/campaign-reports.ts';
import {
  act,
  CAMPAIGN_ACTIONS,
  campaignNow,
  campaignOfRow,
  hasChanged,
  skipDevice,
} from '../operations/campaigns.ts';
import { ProblemError, problemOf } from '../problem.ts';
import { fieldsOf, queryOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

const filter = paging.extend({
  status: campaignStatus.optional(),
  archived: z.stringbool({ truthy: ['true'], falsy: ['false'] }).optional(),
});

async function campaignPage(c: AppContext, id: string, problem?: string) {
  const now = await campaignNow(c, id);
  const { campaign, metrics, latest } = now;
  const errors =
    metrics.errors.length === 0
      ? errorReportOf([], '', false)
      : await campaignErrors(c, await theCampaign(c, id));
  const view = { status: campaign.status, reason: campaign.status_reason, metrics, latest };
  const { role, actor } = c.var.principal;
  const { created_by, approved_by } = campaign;
  const needed = campaign.status === 'draft' && (await readSettings(c.env)).approve_campaigns;
  const createdAt = new Date(campaign.created_at);
  const approval = {
    needed,
    approved_by,
    seen: await etagOf(now),
    mine: created_by === actor || (needed && (await hasChanged(c, { id: campaign.id, createdAt }))),
    approvedByMe: approved_by === actor,
  };
  return c.html(
    page(
      campaign.name,
      viewerOf(c),
      '/campaigns',
      <CampaignPage
        campaign={campaign}
        view={view}
        errors={errors}
        mayOperate={may(role, 'operate')}
        approval={approval}
        problem={problem}
      />,
    ),
    problem === undefined ? 200 : 409,
  );
}

const changedMeanwhile = () =>
  new ProblemError(
    409,
    'Changed meanwhile',
    'Somebody has changed the campaign since you opened this page. This is how it is now.',
  );

/** Does it and shows the campaign; where it cannot be done, with the reason. */
async function orSay(c: AppContext, id: string, action: () => Promise<void>) {
  try {
    await action();
    return c.redirect(`/campaigns/${id}`, 303);
  } catch (error) {
    if (!(error instanceof ProblemError) || error.status !== 409) throw error;
    const { title, detail } = await problemOf(error);
    return campaignPage(c, id, `${title}: ${detail ?? ''}`);
  }
}

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
  .get('/campaigns/:id', signedIn('read'), (c) => campaignPage(c, c.req.param('id')))
  .post('/campaigns/:id/skip', signedIn('operate'), async (c) => {
    const { row } = await theCampaign(c, c.req.param('id'));
    const { serial_no = '' } = fieldsOf(await c.req.parseBody());
    return orSay(c, row.id, async () => {
      const device = await findDeviceBySerial(c.var.db, serial_no);
      if (device === undefined) {
        throw new ProblemError(409, 'No such device', `No device has the serial number ${serial_no}.`);
      }
      await skipDevice(c, row.id, device.serialNo);
    });
  })
  .post('/campaigns/:id/:action', signedIn('operate'), async (c) => {
    const { id, action } = c.req.param();
    const known = CAMPAIGN_ACTIONS.find((name) => name === action);
    if (known === undefined) return c.html(errorPage('Not found', 'There is no such page.'), 404);
    const { error, stage, seen } = fieldsOf(await c.req.parseBody());
    const detail = { error, ...(stage === undefined ? {} : { stage: Number(stage) }) };
    return orSay(c, id, async () => {
      const found = await theCampaign(c, id);
      if (seen !== undefined && seen !== (await etagOf(await campaignOfRow(c, found))))
        throw changedMeanwhile();
      await act(c, found, known, detail);
    });
  })
  .get('/live/campaigns/:id', signedIn('read'), webSocketOnly, async (c) => {
    const { row } = await theCampaign(c, c.req.param('id'));
    const url = new URL(c.req.url);
    url.searchParams.set('format', 'html');
    url.searchParams.set('operate', may(c.var.principal.role, 'operate') ? '1' : '0');
    return c.env.CAMPAIGN.getByName(row.id).fetch(new Request(url, c.req.raw));
  });
