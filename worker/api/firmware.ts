/** `/firmware`: upload, publish, download. */
import { z } from '@hono/zod-openapi';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import {
  beginUpload as beginUploadBody,
  firmwareDescription,
  firmware as firmwareJson,
  firmwareKind,
  firmwareState,
  paging,
  signatures,
  uploadState,
} from '../../protocol/api.ts';
import { signDownload } from '../../protocol/download-link.ts';
import { firmwareOf, listFirmware } from '../../store/firmware.ts';
import { requires } from '../auth/principal.ts';
import type { AppContext } from '../context.ts';
import {
  beginUpload,
  completeUpload,
  PART_BYTES,
  partCount,
  removeFirmware,
  storeFirmware,
  storePart,
} from '../operations/firmware.ts';
import { prepareRelease, publishRelease } from '../operations/releases.ts';
import { ProblemError, throwInvalid } from '../problem.ts';
import { theFirmware } from './lookup.ts';
import { body, json, page, route, router, uuidParam } from './route.ts';

const tags = ['firmware'];
const read = requires('firmware.read');
const write = requires('firmware.write');

const filter = paging.extend({
  model: z.string().max(64).optional(),
  version: z.string().max(64).optional(),
  state: firmwareState.optional(),
  kind: firmwareKind.optional(),
});
const uploadForm = z.object({ file: z.any().openapi({ type: 'string', format: 'binary' }) });
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
      method: 'post',
      path: '/firmware/uploads',
      tags,
      summary: 'Begin a resumable upload, or find the one begun before',
      middleware: [write] as const,
      request: body(beginUploadBody),
      responses: {
        200: json(uploadState, 'Nothing to upload: these bytes are here already'),
        201: json(uploadState, 'Upload the parts that are missing'),
      },
    }),
    async (c) => {
      const begin = c.req.valid('json');
      const begun = await beginUpload(c, begin);
      const sizes = { part_size: PART_BYTES, part_count: partCount(begin.size_bytes) };
      return 'firmware' in begun
        ? c.json({ id: begun.firmware.id, ...sizes, parts: [], firmware: begun.firmware }, 200)
        : c.json({ id: begun.upload.id, ...sizes, parts: begun.parts, firmware: null }, 201);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/firmware/uploads/{id}/complete',
      tags,
      summary: 'Join the parts and verify the checksum',
      middleware: [write] as const,
      request: { params: uuidParam },
      responses: { 201: json(firmwareJson, 'The firmware, uploaded') },
    }),
    async (c) => c.json(firmwareOf(await completeUpload(c, c.req.valid('param').id)), 201),
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
    async (c) => c.json(firmwareOf(await theFirmware(c, c.req.valid('param').id)), 200),
  )
  .openapi(
    route({
      method: 'delete',
      path: '/firmware/{id}',
      tags,
      summary: 'Delete firmware no campaign is about',
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
      method: 'get',
      path: '/firmware/{id}/download',
      tags,
      summary: 'Where to download it',
      middleware: [read] as const,
      request: { params: uuidParam },
      responses: { 302: { description: 'A signed link' } },
    }),
    async (c) => {
      const row = await theFirmware(c, c.req.valid('param').id);
      const { download_link_s } = await readSettings(c.env);
      const path = await signDownload(c.env.DOWNLOAD_KEYS, {
        sha256: row.sha256,
        filename: `${row.model}-${row.version}.bin`,
        actor: c.var.principal.actor,
        expires: Math.floor(Date.now() / 1000) + download_link_s,
      });
      return c.redirect(path, 302);
    },
  );

// Bodies of these three are not JSON, or not always there: read by hand, described for the document.
firmware.openAPIRegistry.registerPath(
  route({
    method: 'post',
    path: '/firmware',
    tags,
    summary: 'Upload a file whole (at most 100 MB; larger ones in parts)',
    request: {
      body: { content: { 'multipart/form-data': { schema: firmwareDescription.extend(uploadForm.shape) } } },
    },
    responses: {
      200: json(firmwareJson, 'These very bytes were here already'),
      201: json(firmwareJson, 'The firmware, uploaded'),
    },
  }),
);
firmware.post('/firmware', write, async (c) => {
  const { file, description } = await readForm(c);
  const { row, created } = await storeFirmware(c, description, file);
  return c.json(firmwareOf(row), created ? 201 : 200);
});

firmware.openAPIRegistry.registerPath(
  route({
    method: 'put',
    path: '/firmware/uploads/{id}/parts/{n}',
    tags,
    summary: 'Upload one part, its bytes as the body',
    request: { params: uuidParam.extend({ n: z.coerce.number().int() }), body: { content: bytesToSign } },
    responses: { 204: { description: 'The part is stored' } },
  }),
);
firmware.put('/firmware/uploads/:id/parts/:n', write, async (c) => {
  const { body: bytes } = c.req.raw;
  if (bytes === null) throw new ProblemError(422, 'Empty part', "Send the part's bytes as the body.");
  const id = uuidParam.safeParse({ id: c.req.param('id') });
  if (!id.success) throw new ProblemError(404, 'No such upload');
  await storePart(c, id.data.id, Number(c.req.param('n')), bytes);
  return c.body(null, 204);
});

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

/** The upload form. Names of files are never used: the object is named by its content. */
async function readForm(c: AppContext) {
  let form: FormData;
  try {
    form = await c.req.formData();
  } catch {
    throw new ProblemError(400, 'Not a form', 'Send multipart/form-data with a field "file".');
  }
  const { file, ...fields } = Object.fromEntries(form.entries());
  if (!(file instanceof File)) throw new ProblemError(422, 'No file', 'The field "file" is missing.');
  if (/[/\\\0]/.test(file.name))
    throw new ProblemError(422, 'Path in a name', 'The file name may hold no path.');
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
  const description = firmwareDescription.safeParse(given);
  if (!description.success) return throwInvalid(description.error);
  return { file, description: description.data };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ProblemError(400, 'Not JSON', 'The body is neither empty nor JSON.');
  }
}
