/** The Worker and its objects, with bare ways to the same stores beside: what R2, the cache and the outbox cost alone. */
import type { Env } from '../durable-objects/env.ts';
import { commandTopic } from '../protocol/topics.ts';
import worker from '../worker/index.ts';

export {
  BrokerLink,
  Campaign,
  Coordinator,
  FleetShard,
  FleetStream,
  Releases,
} from '../worker/index.ts';

/** `PUT /bench/raw` into R2; `GET /bench/cached/{sha256}` with a range, out of the cache; `POST /bench/outbox/{serial}`. */
async function bare(request: Request, env: Env, path: string): Promise<Response> {
  if (path.startsWith('outbox/')) return queue(env, path.slice('outbox/'.length));
  if (path === 'raw') {
    const key = `bench/${crypto.randomUUID()}`;
    await env.FIRMWARE.put(key, request.body);
    return new Response(key);
  }
  const url = `${env.PUBLIC_URL}/download/${path.slice('cached/'.length)}`;
  const found = await caches.default.match(new Request(url, { headers: request.headers }));
  return found ?? new Response('not cached', { status: 404 });
}

/** Nobody is asked who they are, and nothing is looked up or noted: the command is durable, and that is all. */
async function queue(env: Env, serial_no: string): Promise<Response> {
  const command_id = crypto.randomUUID();
  const topic = commandTopic(serial_no);
  const payload = JSON.stringify({ command: 'reboot', command_id });
  const expires_at = Date.now() + 60_000;
  await env.BROKER_LINK.getByName('main').enqueue([{ serial_no, topic, payload, expires_at }]);
  return Response.json({ command_id });
}

export default {
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response> {
    const [, place, ...path] = new URL(request.url).pathname.split('/');
    return place === 'bench' ? bare(request, env, path.join('/')) : worker.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Env>;
