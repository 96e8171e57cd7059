/** `/stats`: counts for the overview. */
import { z } from '@hono/zod-openapi';
import { CAMPAIGN_STATUSES, DEVICE_STATUSES } from '../../protocol/api.ts';
import { TTL_S } from '../../store/cache.ts';
import { countCampaigns } from '../../store/campaigns.ts';
import { countDevices } from '../../store/devices.ts';
import { requires } from '../auth/principal.ts';
import type { AppContext } from '../context.ts';
import { json, route, router } from './route.ts';

const tags = ['stats'];
const read = requires('read');

export const deviceCounts = z.object({
  total: z.int(),
  by_status: z.object(
    Object.fromEntries(DEVICE_STATUSES.map((s) => [s, z.int()])) as Record<
      (typeof DEVICE_STATUSES)[number],
      z.ZodInt
    >,
  ),
  by_firmware: z.array(z.object({ model: z.string(), version: z.string().nullable(), count: z.int() })),
});
export const campaignCounts = z.record(z.enum(CAMPAIGN_STATUSES), z.int());

/** Counted at most every few seconds: it reads the whole table. */
export const deviceStats = (c: AppContext) =>
  c.var.cache.read('stats:devices', deviceCounts, TTL_S.overview, () => countDevices(c.var.db));

export const stats = router()
  .openapi(
    route({
      method: 'get',
      path: '/stats/devices',
      tags,
      summary: 'Devices by status and by firmware',
      middleware: [read] as const,
      responses: { 200: json(deviceCounts, 'Counts, at most a few seconds old') },
    }),
    async (c) => c.json(await deviceStats(c), 200),
  )
  .openapi(
    route({
      method: 'get',
      path: '/stats/campaigns',
      tags,
      summary: 'Campaigns by status',
      middleware: [read] as const,
      responses: { 200: json(campaignCounts, 'Counts') },
    }),
    async (c) => c.json(await countCampaigns(c.var.db), 200),
  );
