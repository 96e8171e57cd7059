/** What Cloudflare's edge does in front of a Worker, as far as ours relies on it: static files, and who is calling. */
import { WorkerEntrypoint } from 'cloudflare:workers';
import type { Env } from '../durable-objects/env.ts';

interface Worker {
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response>;
}

interface FrontEnv extends Env {
  /** The static files of `wrangler.toml`. */
  ASSETS: Fetcher;
}

/**
 * The entry point that answers in place of the Worker's own. Miniflare has one too, several workers deep: a request
 * that asks for nothing takes several times as long through it.
 */
export const frontOf = (worker: Worker) =>
  class Front extends WorkerEntrypoint<FrontEnv> {
    override async fetch(request: Request): Promise<Response> {
      if (new URL(request.url).pathname.startsWith('/assets/')) {
        const file = await this.env.ASSETS.fetch(request);
        if (file.status !== 404) return file;
      }
      return worker.fetch(withCaller(request), this.env, this.ctx);
    }
  };

/** The same with the address it came from, which workerd knows as `address:port`. Tests may come from any other. */
function withCaller(request: Request): Request {
  const { clientIp } = (request.cf ?? {}) as { clientIp?: string };
  const address = clientIp?.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (address === undefined || request.headers.has('CF-Connecting-IP')) return request;
  const headers = new Headers(request.headers);
  headers.set('CF-Connecting-IP', address);
  return new Request(request, { headers });
}
