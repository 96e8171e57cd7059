/** `/campaigns`: one firmware to a set of devices, in stages. */
import { z } from '@hono/zod-openapi';
import {
  campaign,
  campaignMetrics,
  campaignPreview,
  campaignStatus,
  createCampaign as createCampaignBody,
  deviceUpdate,
  paging,
} from '../../protocol/api.ts';
import { text } from '../../protocol/identifiers.ts';
import { listCampaigns } from '../../store/campaigns.ts';
import { requires } from '../auth/principal.ts';
import type { AppContext } from '../context.ts';
import { changeCampaign } from '../operations/campaign-change.ts';
import { plannedStages, previewCampaign } from '../operations/campaign-plan.ts';
import {
  act,
  CAMPAIGN_ACTIONS,
  campaignNow,
  campaignOfRow,
  createCampaign,
  mustBeOpen,
  skipDevice,
} from '../operations/campaigns.ts';
import { ProblemError } from '../problem.ts';
import { etagOf, requireMatch } from './etag.ts';
import { theCampaign, theDevice, theFirmware } from './lookup.ts';
import { body, json, page, problemAs, route, router, uuidParam } from './route.ts';

const tags = ['campaigns'];
const changedMeanwhile = problemAs('If-Match names another version of it');
const read = requires('read');
const operate = requires('operate');

const withMetrics = campaign.extend({ metrics: campaignMetrics.nullable() });
const filter = paging.extend({
  status: campaignStatus.optional(),
  firmware_id: z.uuid().optional(),
  /** Only those in the archive, or only the others. */
  archived: z.stringbool({ truthy: ['true', '1'], falsy: ['false', '0'] }).optional(),
});
/** What makes a campaign; only the firmware need be said. */
const previewBody = createCampaignBody
  .extend({
    name: createCampaignBody.shape.name.optional(),
    stages: createCampaignBody.shape.stages.unwrap().optional(),
  })
  .strict();
const actionBody = z
  .strictObject({
    error: text(64).optional().describe('For `retry`: only devices that failed with this error'),
    stage: z
      .int()
      .min(0)
      .max(50)
      .optional()
      .describe(
        'For `advance`: the index, from 0, of the stage that is open; refused where another one is by then',
      ),
  })
  .optional();
const actionRequest = { body: { required: false, content: { 'application/json': { schema: actionBody } } } };
const changeable = createCampaignBody.omit({ safe_mode: true }).partial();
/** With what only can be read: whoever changes a campaign may send back all of it. */
const change = withMetrics.partial().extend(changeable.shape).strict();

/** The body as it came: the schema fills in what was not said. */
const bodyOf = (c: AppContext): Promise<object> =>
  c.req.json<object>().catch(() => {
    throw new ProblemError(400, 'Cannot be understood', 'Say in JSON what to change.');
  });

export const campaigns = router()
  .openapi(
    route({
      method: 'get',
      path: '/campaigns',
      tags,
      summary: 'List campaigns, newest first',
      middleware: [read] as const,
      request: { query: filter },
      responses: { 200: json(page(withMetrics), 'A page of campaigns') },
    }),
    async (c) => {
      const { limit, cursor, ...by } = c.req.valid('query');
      return c.json(await listCampaigns(c.var.db, by, { limit, cursor }), 200);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/campaigns',
      tags,
      summary: 'Make a campaign, as a draft',
      middleware: [operate] as const,
      request: body(createCampaignBody.strict()),
      responses: { 201: json(campaign, 'The draft') },
    }),
    async (c) => {
      const made = await createCampaign(c, c.req.valid('json'), await c.req.json());
      return c.json(made, 201, { ETag: await etagOf({ campaign: made, revision: 0 }) });
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/campaigns/preview',
      tags,
      summary: 'Which devices a campaign would take, and in which stages',
      middleware: [read] as const,
      request: body(previewBody),
      responses: { 200: json(campaignPreview, 'The count, a sample, the stages') },
    }),
    async (c) => {
      const { firmware_id, target, stages, safe_mode } = c.req.valid('json');
      const firmware = await theFirmware(c, firmware_id);
      const planned = await plannedStages(c, firmware, { stages, safe_mode });
      return c.json(await previewCampaign(c, firmware, target, planned), 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/campaigns/{id}',
      tags,
      summary: 'One campaign',
      middleware: [read] as const,
      request: { params: uuidParam },
      responses: { 200: json(campaign, 'The campaign') },
    }),
    async (c) => {
      const now = await campaignNow(c, c.req.valid('param').id);
      return c.json(now.campaign, 200, { ETag: await etagOf(now) });
    },
  )
  .openapi(
    route({
      method: 'put',
      path: '/campaigns/{id}',
      tags,
      summary: 'Change what is named; its firmware, target and stages only before it has begun',
      middleware: [operate] as const,
      request: { params: uuidParam, ...body(change) },
      responses: { 200: json(campaign, 'The campaign as it is now'), 412: changedMeanwhile },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const given = Object.keys(await bodyOf(c)).filter((key) => key in changeable.shape);
      const named = Object.entries(c.req.valid('json')).filter(([key]) => given.includes(key));
      await changeCampaign(c, id, Object.fromEntries(named), async (found) =>
        requireMatch(c, await campaignOfRow(c, found)),
      );
      const changed = await campaignNow(c, id);
      return c.json(changed.campaign, 200, { ETag: await etagOf(changed) });
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/campaigns/{id}/{action}',
      // The document has each action by name: see below.
      hide: true,
      middleware: [operate] as const,
      request: {
        params: uuidParam.extend({ action: z.enum(CAMPAIGN_ACTIONS) }),
        ...actionRequest,
      },
      responses: { 200: json(campaign, 'The campaign as it is now'), 412: changedMeanwhile },
    }),
    async (c) => {
      const { id, action } = c.req.valid('param');
      const found = await theCampaign(c, id);
      const seen = await campaignOfRow(c, found);
      await requireMatch(c, seen);
      await act(c, found, action, { stage: seen.metrics.stage.index, ...c.req.valid('json') });
      const now = await campaignNow(c, id);
      return c.json(now.campaign, 200, { ETag: await etagOf(now) });
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/campaigns/{id}/devices/{device}/skip',
      tags,
      summary: 'Leave out a device whose update has not begun',
      middleware: [operate] as const,
      request: { params: uuidParam.extend({ device: text(64).min(1) }) },
      responses: {
        200: json(deviceUpdate, 'Its part in the campaign, now skipped'),
        412: changedMeanwhile,
      },
    }),
    async (c) => {
      const { id, device } = c.req.valid('param');
      const found = await theCampaign(c, id);
      await requireMatch(c, await campaignOfRow(c, found));
      mustBeOpen(found.row);
      const { serialNo } = await theDevice(c, device);
      await skipDevice(c, id, serialNo);
      const update = await c.env.CAMPAIGN.getByName(id).member(serialNo);
      if (update === null) throw new ProblemError(404, 'No such member');
      return c.json(update, 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/campaigns/{id}/metrics',
      tags,
      summary: 'How it stands, in numbers',
      middleware: [read] as const,
      request: { params: uuidParam },
      responses: { 200: json(campaignMetrics, 'Counts by state and stage, errors by code') },
    }),
    async (c) => {
      const { metrics } = await campaignNow(c, c.req.valid('param').id);
      return c.json(metrics, 200);
    },
  );

const ACTIONS: Record<(typeof CAMPAIGN_ACTIONS)[number], string> = {
  approve: 'Approve it: somebody other than its maker',
  start: 'Start it',
  pause: 'Pause it: no new device starts',
  resume: 'Go on with it',
  cancel: 'End it: no new device starts',
  advance: 'Open its next stage now',
  retry: 'Try again what failed, all of it or with one error',
};
for (const action of CAMPAIGN_ACTIONS) {
  campaigns.openAPIRegistry.registerPath(
    route({
      method: 'post',
      path: `/campaigns/{id}/${action}`,
      tags,
      summary: ACTIONS[action],
      request: { params: uuidParam, ...(action === 'retry' || action === 'advance' ? actionRequest : {}) },
      responses: { 200: json(campaign, 'The campaign as it is now'), 412: changedMeanwhile },
    }),
  );
}
