/** The Worker: every door, and the Durable Objects' classes. */
import { OpenAPIHono } from '@hono/zod-openapi';
import { NeonDbError } from '@neondatabase/serverless';
import { HTTPException } from 'hono/http-exception';
import type { Env } from '../durable-objects/env.ts';
import { openCache } from '../store/cache.ts';
import { openDatabase } from '../store/connection.ts';
import { BadCursor } from '../store/page.ts';
import { errorPage } from '../views/layout.tsx';
import { api } from './api/index.ts';
import type { AppContext, AppEnv } from './context.ts';
import { downloads } from './downloads/routes.ts';
import { est } from './est/routes.ts';
import { ingest } from './ingest/routes.ts';
import { pages } from './pages/index.tsx';
import { ProblemError, problem } from './problem.ts';
import { tuf } from './tuf/routes.ts';

export { BrokerLink } from '../durable-objects/broker-link/broker-link.ts';
export { Campaign } from '../durable-objects/campaign/campaign.ts';
export { Coordinator } from '../durable-objects/coordinator/coordinator.ts';
export { FleetShard } from '../durable-objects/fleet-shard/fleet-shard.ts';
export { FleetStream } from '../durable-objects/fleet-stream.ts';
export { Releases } from '../durable-objects/releases/releases.ts';

/** How long a refused request is heard out at most. */
const PATIENCE_MS = 10_000;
const METHODS = ['GET', 'POST', 'PUT', 'DELETE'];

const app = new OpenAPIHono<AppEnv>();

app.use(async (c, next) => {
  c.set('db', openDatabase(c.env));
  c.set('cache', openCache(c.env));
  await next();
  if (c.res.status >= 400) await hearOut(c.req.raw.body);
  // A WebSocket's answer comes from its object and cannot be changed.
  if (c.res.status !== 101) c.header('X-Content-Type-Options', 'nosniff');
});
app.route('/api/v1', api);
// What monitors and devices try first, also without the prefix.
const SHORT = [
  '/health',
  '/metrics',
  '/openapi.json',
  '/updates/check',
  '/status',
  '/validation',
  '/stream/*',
];
for (const path of SHORT) {
  app.all(path, (c) => {
    const url = new URL(c.req.url);
    url.pathname = `/api/v1${url.pathname}`;
    return app.fetch(new Request(url, c.req.raw), c.env, c.executionCtx);
  });
}
app.route('/', downloads);
app.route('/', est);
app.route('/', ingest);
app.route('/', tuf);
app.route('/', pages);

app.notFound((c) => {
  const allowed = METHODS.filter((method) => answers(method, c.req.path));
  if (allowed[0] === 'GET') allowed.splice(1, 0, 'HEAD');
  if (allowed.length > 0) {
    const answer = problem(
      405,
      'Method not allowed',
      `Nothing answers ${c.req.method} here: use ${allowed.join(', ')}.`,
    );
    answer.headers.set('Allow', allowed.join(', '));
    return answer;
  }
  return isForPeople(c)
    ? c.html(errorPage('Not found', 'There is no such page.'), 404)
    : problem(404, 'Not found', `Nothing answers ${c.req.method} here.`);
});
app.onError((error, c) => {
  if (error instanceof ProblemError) return error.getResponse();
  if (error instanceof HTTPException && error.status === 415)
    return problem(
      415,
      'Unsupported media type',
      'Send JSON with "Content-Type: application/json", or see /openapi.json.',
    );
  if (error instanceof HTTPException) return problem(error.status, 'Cannot be understood', error.message);
  if (error instanceof BadCursor) return wrongInput(c, 400, 'Bad cursor', error.message);
  if (isDataException(error))
    return wrongInput(c, 422, 'Invalid input', 'A value cannot be stored or compared as text.');
  const id = crypto.randomUUID();
  const where = `${c.req.method} ${new URL(c.req.url).pathname}`;
  console.error(
    JSON.stringify({ level: 'error', part: 'worker', id, where, msg: String(error.stack ?? error) }),
  );
  return problem(503, 'Something failed', `Try again; if it stays, look for ${id} in the logs.`);
});

export default {
  fetch: (request: Request, env: Env, ctx: ExecutionContext) => app.fetch(request, env, ctx),
} satisfies ExportedHandler<Env>;

const isForPeople = (c: AppContext): boolean => c.req.header('Accept')?.includes('text/html') === true;

const wrongInput = (c: AppContext, status: 400 | 422, title: string, detail: string) =>
  isForPeople(c) ? c.html(errorPage(title, detail), status) : problem(status, title, detail);

/** Who is still sending does not listen yet, and would see the connection break in place of what is wrong. */
async function hearOut(body: Request['body']): Promise<void> {
  if (body?.locked !== false) return;
  const signal = AbortSignal.timeout(PATIENCE_MS);
  // Hung up, or goes on for ever: nobody listens.
  await body.pipeTo(new WritableStream(), { signal }).catch(() => undefined);
}

/** Whether there is a route for it, middleware aside. */
function answers(method: string, path: string): boolean {
  return app.router.match(method, path)[0].some(([[, route]]) => route.method === method);
}

/** PostgreSQL's class 22: the input, not the database, is at fault (a NUL character, for instance). */
function isDataException(error: unknown): boolean {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof NeonDbError && cause.code?.startsWith('22') === true;
}
