/** `/campaigns`: one firmware to a set of devices, in stages. */
import { z } from '@hono/zod-openapi';
import { definitionOf } from '../../durable-objects/campaign/definition.ts';
import { writeCampaign } from '../../durable-objects/campaign/ledger.ts';
import {
  campaign,
  campaignMetrics,
  campaignPolicy,
  campaignStatus,
  campaignTarget,
  createCampaign as createCampaignBody,
  deviceUpdate,
  paging,
} from '../../protocol/api.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { previewTarget } from '../../store/campaign-targets.ts';
import { listCampaigns } from '../../store/campaigns.ts';
import { requires } from '../auth/principal.ts';
import {
  act,
  CAMPAIGN_ACTIONS,
  campaignNow,
  createCampaign,
  mustBeOpen,
  skipDevice,
} from '../operations/campaigns.ts';
import { ProblemError } from '../problem.ts';
import { etagOf, requireMatch } from './etag.ts';
import { theCampaign, theDevice, theFirmware } from './lookup.ts';
import { body, json, page, route, router, uuidParam } from './route.ts';

const tags = ['campaigns'];
const read = requires('read');
const operate = requires('operate');

const withMetrics = campaign.extend({ metrics: campaignMetrics.nullable() });
const filter = paging.extend({
  status: campaignStatus.optional(),
  firmware_id: z.uuid().optional(),
  /** Only those in the archive, or only the others. */
  archived: z.stringbool({ truthy: ['true', '1'], falsy: ['false', '0'] }).optional(),
});
const preview = z.object({
  count: z.int(),
  sample: z.array(
    z.object({ id: z.string(), serial_no: z.string(), current_firmware: z.string().nullable() }),
  ),
});
/** For `retry`: only devices that failed with this error. */
const retryBody = z.object({ error: z.string().max(64).optional() }).optional();
const change = campaignPolicy.partial().extend({ name: z.string().trim().min(1).max(120).optional() });

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
      request: body(createCampaignBody),
      responses: { 201: json(campaign, 'The draft') },
    }),
    async (c) => c.json(await createCampaign(c, c.req.valid('json'), await c.req.json()), 201),
  )
  .openapi(
    route({
      method: 'post',
      path: '/campaigns/preview',
      tags,
      summary: 'How many devices a target has, and a few of them',
      middleware: [read] as const,
      request: body(z.object({ firmware_id: z.uuid(), target: campaignTarget.default({}) })),
      responses: { 200: json(preview, 'The count and a sample') },
    }),
    async (c) => {
      const { firmware_id, target } = c.req.valid('json');
      const firmware = await theFirmware(c, firmware_id);
      return c.json(await previewTarget(c.var.db, firmware.model, target), 200);
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
      const { campaign } = await campaignNow(c, c.req.valid('param').id);
      return c.json(campaign, 200, { ETag: await etagOf(campaign) });
    },
  )
  .openapi(
    route({
      method: 'put',
      path: '/campaigns/{id}',
      tags,
      summary: 'Change its name or policy; the stages only while it is a draft',
      middleware: [operate] as const,
      request: { params: uuidParam, ...body(change) },
      responses: { 200: json(campaign, 'The campaign as it is now') },
    }),
    async (c) => {
      const found = await theCampaign(c, c.req.valid('param').id);
      mustBeOpen(found.row);
      await requireMatch(c, (await campaignNow(c, found.row.id)).campaign);
      const { name, ...policyChange } = c.req.valid('json');
      const given = Object.fromEntries(Object.entries(await c.req.json<Record<string, unknown>>()));
      const named = Object.fromEntries(Object.entries(policyChange).filter(([key]) => key in given));
      const policy = campaignPolicy.parse({ ...found.row.policy, ...named });
      const started = found.row.status !== 'draft' && found.row.status !== 'scheduled';
      if (started && 'stages' in named) {
        throw new ProblemError(
          409,
          'Stages are fixed',
          'The stages of a campaign that has started cannot change.',
        );
      }
      if (started) {
        const outcome = await c.env.CAMPAIGN.getByName(found.row.id).changePolicy(policy);
        if (!outcome.ok) throw new ProblemError(409, 'Cannot change this campaign', outcome.problem);
      }
      await writeCampaign(c.env, c.var.db, found.row.id, {
        policy,
        ...(name === undefined ? {} : { name }),
        // What was approved is no longer what would start.
        ...(started ? {} : { approvedBy: null }),
      });
      if (found.row.status === 'scheduled') {
        await c.env.CAMPAIGN.getByName(found.row.id).start(
          definitionOf({ ...found.row, policy }, found.firmware),
        );
      }
      await auditEntry(c.var.db, {
        actor: c.var.principal.actor,
        action: 'campaign.change',
        subject: found.row.id,
        detail: { ...named, ...(name === undefined ? {} : { name }) },
      });
      const changed = await campaignNow(c, found.row.id);
      return c.json(changed.campaign, 200, { ETag: await etagOf(changed.campaign) });
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/campaigns/{id}/{action}',
      tags,
      summary: 'Approve, start, pause, resume or cancel it, open its next stage, retry what failed',
      middleware: [operate] as const,
      request: {
        params: uuidParam.extend({ action: z.enum(CAMPAIGN_ACTIONS) }),
        body: { required: false, content: { 'application/json': { schema: retryBody } } },
      },
      responses: { 200: json(campaign, 'The campaign as it is now') },
    }),
    async (c) => {
      const { id, action } = c.req.valid('param');
      const found = await theCampaign(c, id);
      await requireMatch(c, (await campaignNow(c, id)).campaign);
      await act(c, found, action, c.req.valid('json')?.error);
      const { campaign } = await campaignNow(c, id);
      return c.json(campaign, 200, { ETag: await etagOf(campaign) });
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/campaigns/{id}/devices/{device}/skip',
      tags,
      summary: 'Leave out a device whose update has not begun',
      middleware: [operate] as const,
      request: { params: uuidParam.extend({ device: z.string().min(1).max(64) }) },
      responses: { 200: json(deviceUpdate, 'Its part in the campaign, now skipped') },
    }),
    async (c) => {
      const { id, device } = c.req.valid('param');
      mustBeOpen((await theCampaign(c, id)).row);
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
