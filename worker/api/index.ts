/** `/api/v1`: everything programs use, and the document that describes it. */
import { z } from '@hono/zod-openapi';
import { bodyLimit } from 'hono/body-limit';
import { problem } from '../problem.ts';
import { tufAdministration } from '../tuf/routes.ts';
import { accounts } from './accounts.ts';
import { auth } from './auth.ts';
import { campaignRehearsal } from './campaign-rehearsal.ts';
import { campaignReports } from './campaign-reports.ts';
import { campaigns } from './campaigns.ts';
import { deviceConfig } from './device-config.ts';
import { deviceFacing } from './device-facing.ts';
import { devices } from './devices.ts';
import { devicesBulk } from './devices-bulk.ts';
import { firmware } from './firmware.ts';
import { firmwareDocuments } from './firmware-documents.ts';
import { firmwareUploads } from './firmware-uploads.ts';
import { groups } from './groups.ts';
import { idempotent } from './idempotency.ts';
import { otherDoors } from './other-doors.ts';
import { json, route, router } from './route.ts';
import { stats } from './stats.ts';
import { streams } from './streams.ts';
import { system } from './system.ts';

const DESCRIPTION = `Over-the-air updates for IoT fleets. Errors are RFC 9457 problem details; lists go on where
\`next_cursor\` is given as \`cursor\`; POST, PUT and DELETE accept an \`Idempotency-Key\`.`;

const MAX_BODY_BYTES = 20 * 1024 * 1024;
const limited = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: () => problem(413, 'Body too large', `At most ${MAX_BODY_BYTES} bytes at a time.`),
});

export const api = router();
api.use(async (c, next) => {
  // Many clients name the type of nothing; a body that may be left out is then left out.
  const empty = c.req.raw.body === null || c.req.header('Content-Length') === '0';
  if (empty && c.req.header('Content-Type') !== undefined) {
    const headers = new Headers(c.req.raw.headers);
    headers.delete('Content-Type');
    c.req.raw = new Request(c.req.raw, { headers });
  }
  await next();
});
// Before anything reads it. Firmware has limits of its own, and is never held whole.
api.use((c, next) =>
  /^(multipart\/form-data|application\/octet-stream)/i.test(c.req.header('Content-Type') ?? '')
    ? next()
    : limited(c, next),
);
api.use(idempotent);
for (const part of [
  auth,
  accounts,
  devicesBulk,
  devices,
  deviceConfig,
  groups,
  firmwareUploads,
  firmware,
  firmwareDocuments,
  // Before the actions, which take any other word.
  campaignRehearsal,
  campaigns,
  campaignReports,
  stats,
  system,
  streams,
  deviceFacing,
])
  api.route('/', part);
api.route('/', tufAdministration);
api.route('/', otherDoors);

api.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
  type: 'http',
  scheme: 'bearer',
  description: 'An API key, or a token of POST /auth/token',
});
api.openAPIRegistry.registerComponent('securitySchemes', 'device', {
  type: 'http',
  scheme: 'bearer',
  bearerFormat: 'JWT',
  description: "A token signed with the key of the device's certificate, bound to this request",
});
api.openAPIRegistry.registerComponent('securitySchemes', 'enrolment', {
  type: 'http',
  scheme: 'basic',
  description: 'The serial number, and a token of POST /devices/{id}/enrolment-tokens',
});

api.openAPIRegistry.registerPath(
  route({
    method: 'get',
    path: '/openapi.json',
    tags: ['system'],
    summary: 'This document',
    security: [],
    responses: { 200: json(z.record(z.string(), z.unknown()), 'OpenAPI 3.1') },
  }),
);
api.get('/openapi.json', (c) =>
  c.json(
    api.getOpenAPI31Document({
      openapi: '3.1.0',
      info: { title: 'Skylark', version: '1', description: DESCRIPTION },
      servers: [{ url: '/api/v1' }],
    }),
  ),
);
