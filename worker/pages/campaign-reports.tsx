/** `/campaigns/:id/…`: a campaign's devices, each one's timeline, and why updates failed. */
import { Hono } from 'hono';
import { z } from 'zod';
import { paging, updateState } from '../../protocol/api.ts';
import { listCampaignDevices } from '../../store/updates.ts';
import { CampaignDevices } from '../../views/campaign-devices.tsx';
import { CampaignErrors } from '../../views/campaign-errors.tsx';
import { errorPage, page } from '../../views/layout.tsx';
import { UpdateTimelinePage } from '../../views/update-timeline.tsx';
import { theCampaign, theTimeline } from '../api/lookup.ts';
import type { AppEnv } from '../context.ts';
import { campaignErrors } from '../operations/campaign-reports.ts';
import { queryOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

const filter = paging.extend({ status: updateState.optional(), error: z.string().max(64).optional() });

export const campaignReports = new Hono<AppEnv>()
  .get('/campaigns/:id/devices', signedIn('read'), async (c) => {
    const { row } = await theCampaign(c, c.req.param('id'));
    const query = queryOf(c);
    const parsed = filter.safeParse(query);
    if (!parsed.success)
      return c.html(errorPage('No such list', 'The address holds a filter that does not exist.'), 400);
    const { limit, cursor, ...by } = parsed.data;
    const list = await listCampaignDevices(c.var.db, row.id, by, { limit, cursor });
    const content = <CampaignDevices campaign={row} list={list} query={query} />;
    return c.html(page(`Devices of ${row.name}`, viewerOf(c), '/campaigns', content));
  })
  .get('/campaigns/:id/devices/:device', signedIn('read'), async (c) => {
    const { id, device } = c.req.param();
    const update = await theTimeline(c, id, device);
    const content = <UpdateTimelinePage update={update} now={new Date()} />;
    return c.html(page(`Update of ${update.serial_no}`, viewerOf(c), '/campaigns', content));
  })
  .get('/campaigns/:id/errors', signedIn('read'), async (c) => {
    const found = await theCampaign(c, c.req.param('id'));
    const report = await campaignErrors(c, found);
    const errors = <CampaignErrors id={found.row.id} status={found.row.status} report={report} />;
    if (c.req.header('HX-Request-Type') === 'partial')
      return c.html(errors, 200, { Vary: 'HX-Request-Type' });
    return c.html(page(`Errors of ${found.row.name}`, viewerOf(c), '/campaigns', errors), 200, {
      Vary: 'HX-Request-Type',
    });
  });
