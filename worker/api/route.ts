/** The API's routes: declared once, for the router and for the OpenAPI document. */
import { createRoute, OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi';
import { createMiddleware } from 'hono/factory';
import type { ZodType } from 'zod';
import { text } from '../../protocol/identifiers.ts';
import type { AppEnv } from '../context.ts';
import { invalidInput, problem } from '../problem.ts';

/** A router whose invalid input becomes a problem with one entry a field. */
export function router(): OpenAPIHono<AppEnv> {
  return new OpenAPIHono<AppEnv>({
    defaultHook: (result) => (result.success ? undefined : invalidInput(result.error)),
  });
}

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
    errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
  })
  .openapi('Problem');

const problemContent = { 'application/problem+json': { schema: problemSchema } };

/** Every route can answer these. */
export const problems = {
  400: { description: 'The request cannot be understood', content: problemContent },
  401: { description: 'Not signed in', content: problemContent },
  403: { description: 'Not allowed', content: problemContent },
  404: { description: 'No such thing', content: problemContent },
  409: { description: 'In conflict with how things stand', content: problemContent },
  413: { description: 'The body is too large', content: problemContent },
  415: { description: 'The body is of another type', content: problemContent },
  422: { description: 'Some fields are missing or wrong', content: problemContent },
  503: { description: 'Something failed here: try again', content: problemContent },
} as const;

/** What only some routes answer. */
export const problemAs = (description: string) => ({ description, content: problemContent });

/** A JSON answer. */
export const json = <Schema extends ZodType>(schema: Schema, description: string) => ({
  description,
  content: { 'application/json': { schema } },
});

/** A JSON request body. */
export const body = <Schema extends ZodType>(schema: Schema) => ({
  body: { required: true, content: { 'application/json': { schema } } },
});

/** A page of items. */
export const page = <Item extends ZodType>(item: Item) =>
  z.object({ items: z.array(item), next_cursor: z.string().nullable() });

/** Headers of an answer that shows a secret: nobody on the way keeps it, and no repetition shows it again. */
export const SECRET = { 'Cache-Control': 'no-store' };

/** Path parameters. */
export const idParam = z.object({ id: text(64).min(1) });
export const uuidParam = z.object({ id: z.uuid().toLowerCase() });

const header = (name: string, description: string) => ({
  in: 'header' as const,
  name,
  description,
  schema: { type: 'string' as const },
});
const IDEMPOTENCY_KEY = header(
  'Idempotency-Key',
  'Sent again with the same key, it is done once and answered the same',
);
const IF_MATCH = header('If-Match', 'An entity tag: refused where it is no longer as it was read');

/**
 * `createRoute` with what all routes share: bearer authentication, the problems, and the headers that every write takes,
 * or every one that can answer 412.
 */
export function route<const Config extends RouteConfig>(config: Config) {
  const isWrite = ['post', 'put', 'delete'].includes(config.method) && config.servers === undefined;
  return createRoute({
    security: [{ bearer: [] }],
    ...config,
    parameters: [...(isWrite ? [IDEMPOTENCY_KEY] : []), ...(412 in config.responses ? [IF_MATCH] : [])],
    responses: { ...problems, ...config.responses },
  });
}

/** For what is only answered with a WebSocket. */
export const webSocketOnly = createMiddleware<AppEnv>(async (c, next) =>
  c.req.header('Upgrade')?.toLowerCase() === 'websocket'
    ? next()
    : problem(426, 'WebSocket only', 'Connect with "Upgrade: websocket".'),
);
