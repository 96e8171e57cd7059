/** `/firmware`: the catalogue, publishing, withdrawing, downloading. */
import { z } from '@hono/zod-openapi';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import {
  catalogueModel,
  firmware as firmwareJson,
  firmwareKind,
  firmwareState,
  installations,
  paging,
  signatures,
  withdrawal,
} from '../../protocol/api.ts';
import { signDownload } from '../../protocol/download-link.ts';
import { text } from '../../protocol/identifiers.ts';
import { firmwareTitle } from '../../protocol/target-path.ts';
import { findInstallations, listModels } from '../../store/catalogue.ts';
import { firmwareOf, listFirmware } from '../../store/firmware.ts';
import { requires } from '../auth/principal.ts';
import { checkFirmware, firmwareNow, removeFirmware, withdrawFirmware } from '../operations/firmware.ts';
import { prepareRelease, publishRelease } from '../operations/releases.ts';
import { ProblemError, throwInvalid } from '../problem.ts';
import { theFirmware } from './lookup.ts';
import { body, json, page, route, router, uuidParam } from './route.ts';

const tags = ['firmware'];
const read = requires('firmware.read');
const write = requires('firmware.write');

const filter = paging.extend({
  model: text(64).optional(),
  version: text(64).optional(),
  state: firmwareState.optional(),
  kind: firmwareKind.optional(),
  name: text(64).optional(),
});
const bytesToSign = { 'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) } };

export const firmware = router()
  .openapi(
    route({
      method: 'get',
      path: '/firmware',
      tags,
      summary: 'List firmware, newest first',
      middleware: [read] as const,
      request: { query: filter },
      responses: { 200: json(page(firmwareJson), 'A page of firmware') },
    }),
    async (c) => {
      const { limit, cursor, ...by } = c.req.valid('query');
      return c.json(await listFirmware(c.var.db, by, { limit, cursor }), 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/firmware/{id}',
      tags,
      summary: 'One firmware',
      middleware: [read] as const,
      request: { params: uuidParam },
      responses: { 200: json(firmwareJson, 'The firmware') },
    }),
    async (c) => c.json(await firmwareNow(c, c.req.valid('param').id), 200),
  )
  .openapi(
    route({
      method: 'delete',
      path: '/firmware/{id}',
      tags,
      summary: 'Delete firmware that nothing needs: no campaign, no device',
      middleware: [requires('operate')] as const,
      request: { params: uuidParam },
      responses: { 204: { description: 'It is gone' } },
    }),
    async (c) => {
      await removeFirmware(c, await theFirmware(c, c.req.valid('param').id));
      return c.body(null, 204);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/firmware/{id}/withdraw',
      tags,
      summary: 'Take it back for good: campaigns with it are paused, and none can start',
      middleware: [requires('operate')] as const,
      request: { params: uuidParam, ...body(withdrawal) },
      responses: { 200: json(firmwareJson, 'The firmware, withdrawn') },
    }),
    async (c) => {
      const row = await theFirmware(c, c.req.valid('param').id);
      return c.json(firmwareOf(await withdrawFirmware(c, row, c.req.valid('json').reason)), 200);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/firmware/{id}/check',
      tags,
      summary: 'Read its stored bytes now, and compare them with the checksum',
      middleware: [requires('operate')] as const,
      request: { params: uuidParam },
      responses: { 200: json(firmwareJson, 'The firmware; `damage` says what is wrong') },
    }),
    async (c) => {
      const row = await theFirmware(c, c.req.valid('param').id);
      return c.json(firmwareOf(await checkFirmware(c, row)), 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/firmware/{id}/installations',
      tags,
      summary: 'Where it is installed',
      middleware: [requires('read')] as const,
      request: { params: uuidParam },
      responses: { 200: json(installations, 'How many devices show it, and the first of them') },
    }),
    async (c) => {
      const row = await theFirmware(c, c.req.valid('param').id);
      return c.json(await findInstallations(c.var.db, row), 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/models',
      tags,
      summary: 'The models there is firmware for, and the latest version of each',
      middleware: [read] as const,
      responses: { 200: json(z.object({ items: z.array(catalogueModel) }), 'All of them, by name') },
    }),
    async (c) => c.json({ items: await listModels(c.var.db) }, 200),
  )
  .openapi(
    route({
      method: 'get',
      path: '/firmware/{id}/download',
      tags,
      summary: 'Where to download it',
      middleware: [read] as const,
      request: { params: uuidParam },
      responses: { 302: { description: 'A signed link' } },
    }),
    async (c) => {
      const found = await firmwareNow(c, c.req.valid('param').id);
      const { download_link_s } = await readSettings(c.env);
      const path = await signDownload(c.env.DOWNLOAD_KEYS, {
        sha256: found.checksum.slice('sha256:'.length),
        filename: `${firmwareTitle(found).replaceAll('/', '-')}.bin`,
        actor: c.var.principal.actor,
        expires: Math.floor(Date.now() / 1000) + download_link_s,
      });
      return c.redirect(path, 302);
    },
  );

// Its body is not always there: read by hand, described for the document.
firmware.openAPIRegistry.registerPath(
  route({
    method: 'post',
    path: '/firmware/{id}/publish',
    tags,
    summary: 'Without a body: the exact bytes to sign. With signatures over them: publish',
    request: {
      params: uuidParam,
      body: { required: false, content: { 'application/json': { schema: signatures } } },
    },
    responses: {
      200: {
        description: 'The bytes to sign, or the published firmware',
        content: { ...bytesToSign, 'application/json': { schema: firmwareJson } },
      },
    },
  }),
);
firmware.post('/firmware/:id/publish', write, async (c) => {
  const row = await theFirmware(c, c.req.param('id'));
  const text = await c.req.text();
  if (text.trim() === '') {
    const prepared = await prepareRelease(c, row);
    return c.body(new Uint8Array(prepared.bytes), 200, {
      'Content-Type': 'application/octet-stream',
      'Cache-Control': 'no-store',
      'Skylark-Tuf-Role': prepared.role,
      'Skylark-Tuf-Keyids': prepared.keyids.join(','),
      'Skylark-Tuf-Threshold': String(prepared.threshold),
    });
  }
  const signed = signatures.safeParse(parseJson(text));
  if (!signed.success) return throwInvalid(signed.error);
  return c.json(firmwareOf(await publishRelease(c, row, signed.data)));
});

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ProblemError(400, 'Not JSON', 'The body is neither empty nor JSON.');
  }
}
