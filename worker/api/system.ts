/** Health, metrics, settings, rejected messages. */
import { z } from '@hono/zod-openapi';
import { sql } from 'drizzle-orm';
import { paging } from '../../protocol/api.ts';
import { bridgeState } from '../../protocol/bridge.ts';
import { settingsChange, someSettings, versionedSettings } from '../../protocol/settings.ts';
import { countCampaigns } from '../../store/campaigns.ts';
import { countDamaged } from '../../store/firmware-upkeep.ts';
import { listRejected } from '../../store/rejected-messages.ts';
import { requires } from '../auth/principal.ts';
import type { AppContext } from '../context.ts';
import { downOf } from '../operations/health.ts';
import { changeSettings } from '../operations/settings.ts';
import { body, json, page, route, router } from './route.ts';
import { deviceStats } from './stats.ts';

/** Long enough for a database that wakes up, short enough for whoever watches. */
const HEALTH_MS = 5000;
const health = z.object({ status: z.enum(['ok', 'down']), down: z.array(z.string()).optional() });
const change = settingsChange.extend({ change: z.record(z.string(), z.unknown()) });
const lease = z.object({
  holder: z.string(),
  since: z.iso.datetime(),
  renewed_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  state: bridgeState,
});
const rejectedMessage = z.object({
  id: z.string(),
  at: z.iso.datetime(),
  topic: z.string(),
  reason: z.string(),
  excerpt: z.string(),
});

export const system = router()
  .openapi(
    route({
      method: 'get',
      path: '/health',
      tags: ['system'],
      summary: 'Whether it is up; with deep=1 whether its stores are',
      security: [],
      request: { query: z.object({ deep: z.string().optional() }) },
      responses: { 200: json(health, 'Up'), 503: json(health, 'Something is down') },
    }),
    async (c) => {
      const down = c.req.valid('query').deep === undefined ? [] : await whatIsDown(c);
      return down.length === 0
        ? c.json({ status: 'ok' as const }, 200)
        : c.json({ status: 'down' as const, down }, 503);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/settings',
      tags: ['system'],
      summary: "The fleet's settings",
      middleware: [requires('read')] as const,
      responses: { 200: json(versionedSettings, 'The settings and their version') },
    }),
    async (c) => c.json(await c.env.COORDINATOR.getByName('settings').readSettings(), 200),
  )
  .openapi(
    route({
      method: 'put',
      path: '/settings',
      tags: ['system'],
      summary: 'Change settings, if they are still at this version',
      middleware: [requires('administer')] as const,
      request: body(z.strictObject({ version: z.int(), settings: someSettings })),
      responses: { 200: json(versionedSettings, 'The settings as they are now') },
    }),
    async (c) => {
      const { version, settings: wanted } = c.req.valid('json');
      // The schema fills in defaults; only what was said is changed.
      const given = (await c.req.json<{ settings: object }>()).settings;
      const named = Object.fromEntries(Object.entries(wanted).filter(([key]) => key in given));
      return c.json(await changeSettings(c, version, named), 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/settings/history',
      tags: ['system'],
      summary: 'Who changed which settings, and when',
      middleware: [requires('read')] as const,
      responses: { 200: json(z.object({ items: z.array(change) }), 'At most 200, newest first') },
    }),
    async (c) => {
      const history = await c.env.COORDINATOR.getByName('settings').settingsHistory();
      return c.json({ items: history.map((entry) => ({ ...entry, change: JSON.parse(entry.change) })) }, 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/bridges',
      tags: ['system'],
      summary: 'The bridges that are there',
      middleware: [requires('read')] as const,
      responses: { 200: json(z.object({ items: z.array(lease) }), 'Their leases') },
    }),
    async (c) => c.json({ items: await c.env.COORDINATOR.getByName('bridges').liveLeases() }, 200),
  )
  .openapi(
    route({
      method: 'post',
      path: '/upkeep',
      tags: ['system'],
      summary:
        'Do now what is done daily: sign metadata again, check stored firmware, clear abandoned uploads, archive old campaigns',
      middleware: [requires('administer')] as const,
      responses: { 204: { description: 'It is done; what failed is in the logs and metrics' } },
    }),
    async (c) => {
      await c.env.RELEASES.getByName('main').upkeep();
      return c.body(null, 204);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/rejected-messages',
      tags: ['system'],
      summary: 'Device messages that could not be understood, newest first',
      middleware: [requires('read')] as const,
      request: { query: paging },
      responses: { 200: json(page(rejectedMessage), 'A page of the 10,000 that are kept') },
    }),
    async (c) => {
      const { items, next_cursor } = await listRejected(c.var.db, c.req.valid('query'));
      return c.json({ items: items.map((m) => ({ ...m, at: m.at.toISOString() })), next_cursor }, 200);
    },
  );

// Text, not JSON: described for the document.
system.openAPIRegistry.registerPath(
  route({
    method: 'get',
    path: '/metrics',
    tags: ['system'],
    summary: 'Gauges for a monitor',
    responses: {
      200: { description: 'Prometheus text format', content: { 'text/plain': { schema: z.string() } } },
    },
  }),
);
system.get('/metrics', requires('firmware.read'), async (c) => {
  const [devices, campaigns, link, expiries, damaged] = await Promise.all([
    deviceStats(c),
    countCampaigns(c.var.db),
    c.env.BROKER_LINK.getByName('main').state(),
    c.env.RELEASES.getByName('main').expiries(),
    countDamaged(c.var.db),
  ]);
  const left = Object.entries(expiries).map(([role, at]) => [role, at - Math.floor(Date.now() / 1000)]);
  const lines = [
    ...series('skylark_devices', 'Devices by status', 'status', devices.by_status),
    ...series('skylark_campaigns', 'Campaigns by status', 'status', campaigns),
    ...series('skylark_commands_waiting', 'Commands no broker has confirmed yet', 'link', {
      main: link.waiting,
    }),
    ...series('skylark_bridges_connected', 'Bridges on the command link', 'link', { main: link.bridges }),
    ...series(
      'skylark_firmware_damaged',
      'Firmware whose stored bytes or documents are damaged; alarm above 0',
      'store',
      {
        r2: damaged,
      },
    ),
    ...series(
      'skylark_tuf_seconds_left',
      'Until update metadata expires; alarm below 3 days: devices then refuse every update',
      'role',
      Object.fromEntries(left),
    ),
  ];
  return c.text(`${lines.join('\n')}\n`, 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' });
});

/** One gauge in the Prometheus text format. Label values here are our own words and need no escaping. */
function series(name: string, help: string, label: string, values: Record<string, number>): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...Object.entries(values).map(([value, n]) => `${name}{${label}="${value}"} ${n}`),
  ];
}

/** The stores that do not answer. */
const whatIsDown = (c: AppContext): Promise<string[]> =>
  downOf(
    {
      postgres: () => c.var.db.execute(sql`SELECT 1`),
      redis: () => c.var.cache.ping(),
      r2: () => c.env.FIRMWARE.head('health'),
    },
    HEALTH_MS,
  );
