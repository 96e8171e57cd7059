/** The doors outside `/api/v1`, for the document only: what answers them stands elsewhere. */
import { z } from '@hono/zod-openapi';
import { json, problemAs, route, router } from './route.ts';

const servers = [{ url: '/' }];
const pkcs10 = { body: { content: { 'application/pkcs10': { schema: z.string() } } } };
const pkcs7 = { 'application/pkcs7-mime': { schema: z.string() } };
const bytes = { 'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) } };
const certificate = { 200: { description: 'The certificate, PKCS#7 in base64', content: pkcs7 } };

const enrolment = { tags: ['enrolment'], servers };

export const otherDoors = router();
for (const door of [
  route({
    ...enrolment,
    method: 'get',
    path: '/.well-known/est/cacerts',
    summary: "The device CA's certificate (RFC 7030)",
    security: [],
    responses: { 200: { description: 'PKCS#7 in base64', content: pkcs7 } },
  }),
  route({
    ...enrolment,
    method: 'get',
    path: '/.well-known/est/csrattrs',
    summary: 'What a certificate request should have: nothing in particular',
    security: [],
    responses: { 204: { description: 'Nothing' } },
  }),
  route({
    ...enrolment,
    method: 'post',
    path: '/.well-known/est/simpleenroll',
    summary: "A device's first certificate, for its one-time token",
    security: [{ enrolment: [] }],
    request: pkcs10,
    responses: { ...certificate, 429: problemAs('Too many wrong tokens') },
  }),
  route({
    ...enrolment,
    method: 'post',
    path: '/.well-known/est/simplereenroll',
    summary: 'Its next certificate',
    security: [{ device: [] }],
    request: pkcs10,
    responses: certificate,
  }),
  route({
    ...enrolment,
    method: 'get',
    path: '/ca/crl.pem',
    summary: 'The certificates that are revoked',
    security: [],
    responses: {
      200: {
        description: 'A revocation list in PEM',
        content: { 'application/x-pem-file': { schema: z.string() } },
      },
    },
  }),
  route({
    servers,
    method: 'get',
    path: '/tuf/{name}',
    tags: ['firmware'],
    summary: 'Update metadata for any TUF 1.0 client',
    security: [],
    request: { params: z.object({ name: z.string() }) },
    responses: { 200: json(z.record(z.string(), z.unknown()), 'The metadata') },
  }),
  route({
    servers,
    method: 'get',
    path: '/download/{sha256}/{filename}',
    tags: ['firmware'],
    summary: 'Firmware behind a signed link: follow one you were given',
    security: [],
    request: { params: z.object({ sha256: z.string(), filename: z.string() }) },
    responses: {
      200: { description: 'All of it', content: bytes },
      206: { description: 'The range that was asked for', content: bytes },
      304: { description: 'You have it already' },
      412: { description: 'It is not what If-Match names' },
      416: { description: 'There is no such range' },
    },
  }),
])
  otherDoors.openAPIRegistry.registerPath(door);
