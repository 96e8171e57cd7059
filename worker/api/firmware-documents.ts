/** `/firmware/{id}/sbom`, `/firmware/{id}/advisory`: what is stored beside firmware. */
import { z } from '@hono/zod-openapi';
import { FIRMWARE_DOCUMENTS, firmwareDocument } from '../../protocol/api.ts';
import { documentKey } from '../../store/firmware.ts';
import { requires } from '../auth/principal.ts';
import type { AppContext } from '../context.ts';
import { storeDocument } from '../operations/firmware.ts';
import { ProblemError } from '../problem.ts';
import { theFirmware } from './lookup.ts';
import { route, router, uuidParam } from './route.ts';

const tags = ['firmware'];
const params = uuidParam.extend({ document: firmwareDocument });
const anything = { 'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) } };

// Any kind of bytes: read by hand, described for the document.
export const firmwareDocuments = router();
firmwareDocuments.openAPIRegistry.registerPath(
  route({
    method: 'put',
    path: '/firmware/{id}/{document}',
    tags,
    summary:
      'Store its bill of materials or its advisory, up to 16 MiB; after publication only where none is',
    request: { params, body: { content: anything } },
    responses: { 204: { description: 'It is stored' } },
  }),
);
firmwareDocuments.openAPIRegistry.registerPath(
  route({
    method: 'get',
    path: '/firmware/{id}/{document}',
    tags,
    summary: 'Its bill of materials or its advisory, as it was stored',
    request: { params },
    responses: { 200: { description: 'The document', content: anything } },
  }),
);
for (const document of FIRMWARE_DOCUMENTS) {
  firmwareDocuments.put(`/firmware/:id/${document}`, requires('firmware.write'), async (c) => {
    const row = await theFirmware(c, c.req.param('id'));
    await storeDocument(c, row, document, await c.req.arrayBuffer());
    return c.body(null, 204);
  });
  firmwareDocuments.get(`/firmware/:id/${document}`, requires('firmware.read'), (c) =>
    serveDocument(c, c.req.param('id'), document),
  );
}

/** The document as a file to be saved: it came from outside and must not run as a page of ours. */
export async function serveDocument(
  c: AppContext,
  id: string,
  document: (typeof FIRMWARE_DOCUMENTS)[number],
): Promise<Response> {
  const row = await theFirmware(c, id);
  const sha256 = document === 'sbom' ? row.sbomSha256 : row.advisorySha256;
  const object = sha256 === null ? null : await c.env.FIRMWARE.get(documentKey(sha256));
  if (object === null) throw new ProblemError(404, 'No such document', `This firmware has no ${document}.`);
  return new Response(object.body, {
    headers: {
      'Content-Type': object.httpMetadata?.contentType ?? 'application/octet-stream',
      'Content-Length': String(object.size),
      'Content-Disposition': `attachment; filename="${row.model}-${row.version}.${document}"`,
      'Content-Security-Policy': "default-src 'none'; sandbox",
      ETag: `"${sha256}"`,
    },
  });
}
