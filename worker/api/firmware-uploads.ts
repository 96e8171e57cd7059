/** `/firmware`, the ways in: whole as a form, or in parts. */
import { z } from '@hono/zod-openapi';
import {
  beginUpload as beginUploadBody,
  firmwareDescription,
  firmware as firmwareJson,
  uploadState,
} from '../../protocol/api.ts';
import { firmwareOf } from '../../store/firmware.ts';
import { requires } from '../auth/principal.ts';
import { PART_BYTES } from '../operations/objects.ts';
import { storeFirmware } from '../operations/store-firmware.ts';
import { beginUpload, completeUpload, partCount, storePart } from '../operations/uploads.ts';
import { ProblemError, throwInvalid } from '../problem.ts';
import { receiveFirmwareForm } from '../uploads/firmware-form.ts';
import { body, json, route, router, uuidParam } from './route.ts';

const tags = ['firmware'];
const write = requires('firmware.write');
const uploadForm = z.object({ file: z.any().openapi({ type: 'string', format: 'binary' }) });
const partBytes = { 'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) } };

export const firmwareUploads = router()
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
  );

// Bodies of these are not JSON: read by hand, described for the document.
firmwareUploads.openAPIRegistry.registerPath(
  route({
    method: 'post',
    path: '/firmware',
    tags,
    summary: 'Upload a file whole (at most 100 MB; larger ones in parts)',
    request: {
      body: {
        content: { 'multipart/form-data': { schema: firmwareDescription.safeExtend(uploadForm.shape) } },
      },
    },
    responses: {
      200: json(firmwareJson, 'These very bytes were here already'),
      201: json(firmwareJson, 'The firmware, uploaded'),
    },
  }),
);
firmwareUploads.post('/firmware', write, async (c) => {
  const { file, fields } = await receiveFirmwareForm(c);
  try {
    if (file === undefined) throw new ProblemError(422, 'No file', 'The field "file" is missing, or empty.');
    const description = firmwareDescription.safeParse(fields);
    if (!description.success) return throwInvalid(description.error);
    const { row, created } = await storeFirmware(c, description.data, file);
    return c.json(firmwareOf(row), created ? 201 : 200);
  } finally {
    await file?.discard();
  }
});

firmwareUploads.openAPIRegistry.registerPath(
  route({
    method: 'put',
    path: '/firmware/uploads/{id}/parts/{n}',
    tags,
    summary: 'Upload one part, its bytes as the body',
    request: { params: uuidParam.extend({ n: z.int().min(1) }), body: { content: partBytes } },
    responses: { 204: { description: 'The part is stored' } },
  }),
);
firmwareUploads.put('/firmware/uploads/:id/parts/:n', write, async (c) => {
  const { body: bytes } = c.req.raw;
  if (bytes === null) throw new ProblemError(422, 'Empty part', "Send the part's bytes as the body.");
  const id = uuidParam.safeParse({ id: c.req.param('id') });
  if (!id.success) throw new ProblemError(404, 'No such upload');
  const n = c.req.param('n');
  await storePart(c, id.data.id, /^\d{1,5}$/.test(n) ? Number(n) : Number.NaN, bytes);
  return c.body(null, 204);
});
