/** `/devices/{id}/config`: a device's settings. */
import { z } from '@hono/zod-openapi';
import { configChange, configEntry, paging } from '../../protocol/api.ts';
import { text } from '../../protocol/identifiers.ts';
import { configUpdate } from '../../protocol/messages.ts';
import { listConfig, listConfigHistory } from '../../store/device-configs.ts';
import { requires } from '../auth/principal.ts';
import { configureDevice } from '../operations/devices.ts';
import { theDevice } from './lookup.ts';
import { body, idParam, json, page, route, router } from './route.ts';

const tags = ['devices'];
const read = requires('read');
const MAX_CONFIG = 65_536;

const config = z.object({ items: z.array(configEntry) });
const wantedConfig = configUpdate.shape.config
  .refine((said) => Object.keys(said).length > 0, 'name at least one setting')
  .refine((said) => JSON.stringify(said).length <= MAX_CONFIG, `at most ${MAX_CONFIG} characters as JSON`);
/** The settings themselves, or inside `config`, as the command has them. */
const configBody = z.union([z.strictObject({ config: wantedConfig }), wantedConfig]);
const isWrapped = (said: z.infer<typeof configBody>): said is { config: Record<string, string> } =>
  typeof said.config === 'object';

export const deviceConfig = router()
  .openapi(
    route({
      method: 'get',
      path: '/devices/{id}/config',
      tags,
      summary: 'Its settings',
      middleware: [read] as const,
      request: { params: idParam },
      responses: { 200: json(config, 'Every setting, confirmed or pending') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      return c.json({ items: await listConfig(c.var.db, c.var.cache, row.id, new Date()) }, 200);
    },
  )
  .openapi(
    route({
      method: 'put',
      path: '/devices/{id}/config',
      tags,
      summary: 'Ask it to change settings',
      middleware: [requires('operate')] as const,
      request: { params: idParam, ...body(configBody) },
      responses: { 202: json(config, 'The settings, the changed ones pending') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      const said = c.req.valid('json');
      await configureDevice(c, row, isWrapped(said) ? said.config : said);
      return c.json({ items: await listConfig(c.var.db, c.var.cache, row.id, new Date()) }, 202);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/devices/{id}/config/history',
      tags,
      summary: 'What its settings were asked to be and were, newest first',
      middleware: [read] as const,
      request: { params: idParam, query: paging.extend({ key: text(128).optional() }) },
      responses: { 200: json(page(configChange), 'A page of changes') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      const { key, ...pages } = c.req.valid('query');
      return c.json(await listConfigHistory(c.var.db, row.id, key, pages), 200);
    },
  );
