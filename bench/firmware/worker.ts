/** The Worker and its objects, with bare ways to the same stores beside: what R2 and the cache cost without us. */
import type { Env } from '../../durable-objects/env.ts';
import worker from '../../worker/index.ts';

export {
  BrokerLink,
  Campaign,
  Coordinator,
  FleetShard,
  FleetStream,
  Releases,
} from '../../worker/index.ts';

/** `PUT /bench/raw` into R2; `GET /bench/cached/{sha256}` with a range, out of the cache. */
async function bare(request: Request, env: Env, path: string): Promise<Response> {
  if (path === 'raw') {
    const key = `bench/${crypto.randomUUID()}`;
    await env.FIRMWARE.put(key, request.body);
    return new Response(key);
  }
  const url = `${env.PUBLIC_URL}/download/${path.slice('cached/'.length)}`;
  const found = await caches.default.match(new Request(url, { headers: request.headers }));
  return found ?? new Response('not cached', { status: 404 });
}

export default {
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response> {
    const [, place, ...path] = new URL(request.url).pathname.split('/');
    return place === 'bench' ? bare(request, env, path.join('/')) : worker.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Env>;
