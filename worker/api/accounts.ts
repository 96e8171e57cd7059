/** `/users`, `/api-keys`: who may come in; `/audit-log`: what they did. */
import { z } from '@hono/zod-openapi';
import {
  apiKey,
  changeUser as changeUserBody,
  createApiKey,
  createUser,
  paging,
  user,
} from '../../protocol/api.ts';
import { auditFilter, auditRecord } from '../../protocol/audit.ts';
import { listApiKeys, listUsers } from '../../store/accounts.ts';
import { listAudit } from '../../store/audit-log.ts';
import { requires } from '../auth/principal.ts';
import {
  changeUser,
  makeApiKey,
  makeUser,
  removeUser,
  revokeApiKey,
  theUser,
} from '../operations/accounts.ts';
import { body, idParam, json, page, route, router, SECRET, uuidParam } from './route.ts';

const tags = ['accounts'];
const administer = requires('administer');

export const accounts = router()
  .openapi(
    route({
      method: 'get',
      path: '/audit-log',
      tags,
      summary: 'Who did what, newest first; with filters that combine',
      middleware: [administer] as const,
      request: { query: paging.extend(auditFilter.shape) },
      responses: { 200: json(page(auditRecord), 'A page of what was done, and of what was not allowed') },
    }),
    async (c) => {
      const { limit, cursor, ...filter } = c.req.valid('query');
      return c.json(await listAudit(c.var.db, filter, { limit, cursor }), 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/users',
      tags,
      summary: 'Who may sign in, by address',
      middleware: [administer] as const,
      request: { query: paging },
      responses: { 200: json(page(user), 'A page of them') },
    }),
    async (c) => c.json(await listUsers(c.var.db, c.req.valid('query')), 200),
  )
  .openapi(
    route({
      method: 'post',
      path: '/users',
      tags,
      summary: 'Let somebody sign in; without a password one is made up',
      middleware: [administer] as const,
      request: body(createUser),
      responses: {
        201: json(
          user.extend({ password: z.string().optional() }),
          'The user; a password that was made up is shown this once',
        ),
      },
    }),
    async (c) => c.json(await makeUser(c, c.req.valid('json')), 201, SECRET),
  )
  .openapi(
    route({
      method: 'put',
      path: '/users/{id}',
      tags,
      summary: 'Give somebody another role or password; a new password ends their sessions',
      middleware: [administer] as const,
      request: { params: uuidParam, ...body(changeUserBody) },
      responses: { 200: json(user, 'The user as they are now') },
    }),
    async (c) =>
      c.json(await changeUser(c, await theUser(c, c.req.valid('param').id), c.req.valid('json')), 200),
  )
  .openapi(
    route({
      method: 'delete',
      path: '/users/{id}',
      tags,
      summary: 'Let somebody in no longer',
      middleware: [administer] as const,
      request: { params: uuidParam },
      responses: { 204: { description: 'They are signed out' } },
    }),
    async (c) => {
      await removeUser(c, await theUser(c, c.req.valid('param').id));
      return c.body(null, 204);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/api-keys',
      tags,
      summary: 'API keys by name, also the revoked ones; never the keys themselves',
      middleware: [administer] as const,
      request: { query: paging },
      responses: { 200: json(page(apiKey), 'A page of them') },
    }),
    async (c) => c.json(await listApiKeys(c.var.db, c.req.valid('query')), 200),
  )
  .openapi(
    route({
      method: 'post',
      path: '/api-keys',
      tags,
      summary: 'Make an API key',
      middleware: [administer] as const,
      request: body(createApiKey),
      responses: { 201: json(apiKey.extend({ key: z.string() }), 'The key, shown this once') },
    }),
    async (c) => c.json(await makeApiKey(c, c.req.valid('json')), 201, SECRET),
  )
  .openapi(
    route({
      method: 'delete',
      path: '/api-keys/{id}',
      tags,
      summary: 'Revoke it: it opens nothing from now on',
      middleware: [administer] as const,
      request: { params: idParam },
      responses: { 204: { description: 'It is revoked' } },
    }),
    async (c) => {
      await revokeApiKey(c, c.req.valid('param').id);
      return c.body(null, 204);
    },
  );
