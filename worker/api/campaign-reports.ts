/** `/campaigns/{id}/devices`, `/campaigns/{id}/errors`: how each device's update went, and why some failed. */
import { deviceUpdate, paging, updateState } from '../../protocol/api.ts';
import { errorReport } from '../../protocol/error-report.ts';
import { text } from '../../protocol/identifiers.ts';
import { updateTimeline } from '../../protocol/update-timeline.ts';
import { listCampaignDevices } from '../../store/updates.ts';
import { requires } from '../auth/principal.ts';
import { campaignErrors, withProgress } from '../operations/campaign-reports.ts';
import { theCampaign, theTimeline } from './lookup.ts';
import { json, page, route, router, uuidParam } from './route.ts';

const tags = ['campaigns'];
const read = requires('read');

const filter = paging.extend({
  status: updateState.optional(),
  /** Only devices that failed with this error, or wait because of it. */
  error: text(64).optional(),
});

export const campaignReports = router()
  .openapi(
    route({
      method: 'get',
      path: '/campaigns/{id}/devices',
      tags,
      summary: "Its devices' updates, by serial number",
      middleware: [read] as const,
      request: { params: uuidParam, query: filter },
      responses: { 200: json(page(deviceUpdate), 'A page of updates') },
    }),
    async (c) => {
      const { row } = await theCampaign(c, c.req.valid('param').id);
      const { limit, cursor, ...by } = c.req.valid('query');
      const { items, next_cursor } = await listCampaignDevices(c.var.db, row.id, by, { limit, cursor });
      return c.json({ items: await withProgress(c, row.id, items), next_cursor }, 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/campaigns/{id}/devices/{device}',
      tags,
      summary: "One device's update, with every step it went through and how long each took",
      middleware: [read] as const,
      request: { params: uuidParam.extend({ device: text(64).min(1) }) },
      responses: { 200: json(updateTimeline, 'The update and its steps, oldest first') },
    }),
    async (c) => {
      const { id, device } = c.req.valid('param');
      const [timeline] = await withProgress(c, id, [await theTimeline(c, id, device)]);
      return c.json(timeline, 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/campaigns/{id}/errors',
      tags,
      summary: 'Why updates failed: by error, with shares by model, previous version and group',
      middleware: [read] as const,
      request: { params: uuidParam },
      responses: { 200: json(errorReport, 'The errors, the most frequent first; at most 5 s old') },
    }),
    async (c) => c.json(await campaignErrors(c, await theCampaign(c, c.req.valid('param').id)), 200),
  );
