/** The Worker and its objects, each of what Cloudflare, Neon and Upstash bill for counted; `GET /counts` answers. */
import type { DurableObject } from 'cloudflare:workers';
import type { Env } from '../../durable-objects/env.ts';
import worker, * as real from '../../worker/index.ts';

/** Billable operations since the last `GET /counts`. */
const counts = { requests: 0, object_calls: 0, alarms: 0, rows_written: 0, redis: 0, sql: 0, log_lines: 0 };

for (const level of ['log', 'info', 'warn', 'error'] as const) {
  const write = console[level];
  console[level] = (...said) => {
    counts.log_lines += 1;
    write(...said);
  };
}

const plainFetch = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const { url, headers } = new Request(input, init);
  const body: unknown = typeof init?.body === 'string' ? JSON.parse(init.body) : undefined;
  if (headers.has('Neon-Connection-String')) counts.sql += statements(body);
  else if (headers.get('Authorization')?.startsWith('Bearer') === true) counts.redis += commands(url, body);
  return plainFetch(input, init);
};

const statements = (body: unknown): number =>
  typeof body === 'object' && body !== null && 'queries' in body && Array.isArray(body.queries)
    ? body.queries.length
    : 1;
const commands = (url: string, body: unknown): number =>
  new URL(url).pathname === '/' || !Array.isArray(body) ? 1 : body.length;

/** A namespace whose stubs count their calls. */
const counted = <Namespace extends DurableObjectNamespace>(namespace: Namespace): Namespace =>
  new Proxy(namespace, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (name !== 'getByName') return typeof value === 'function' ? value.bind(target) : value;
      return (id: string) =>
        new Proxy(target.getByName(id), {
          get(stub, method) {
            const member = Reflect.get(stub, method, stub);
            if (typeof member !== 'function') return member;
            return (...given: unknown[]) => {
              counts.object_calls += 1;
              return Reflect.apply(member, stub, given);
            };
          },
        });
    },
  });

const NAMESPACES = [
  'CAMPAIGN',
  'FLEET_SHARD',
  'BROKER_LINK',
  'COORDINATOR',
  'FLEET_STREAM',
  'RELEASES',
] as const;

const countedEnv = (env: Env): Env =>
  Object.assign({ ...env }, Object.fromEntries(NAMESPACES.map((name) => [name, counted(env[name])])));

/** Storage that counts the rows it writes; setting an alarm is one. */
function countWrites(ctx: DurableObjectState): void {
  const { sql, kv } = ctx.storage;
  const exec = sql.exec.bind(sql);
  const put = kv.put.bind(kv);
  const setAlarm = ctx.storage.setAlarm.bind(ctx.storage);
  Object.defineProperty(sql, 'exec', {
    value: (...statement: Parameters<typeof exec>) => {
      const cursor = exec(...statement);
      counts.rows_written += cursor.rowsWritten;
      return cursor;
    },
  });
  Object.defineProperty(kv, 'put', {
    value: (...entry: Parameters<typeof put>) => {
      counts.rows_written += 1;
      put(...entry);
    },
  });
  Object.defineProperty(ctx.storage, 'setAlarm', {
    value: (at: number) => {
      counts.rows_written += 1;
      return setAlarm(at);
    },
  });
}

export class FleetShard extends real.FleetShard {
  constructor(ctx: DurableObjectState, env: Env) {
    countWrites(ctx);
    super(ctx, countedEnv(env));
  }

  override async alarm(): Promise<void> {
    counts.alarms += 1;
    await super.alarm();
  }
}

export class Campaign extends real.Campaign {
  constructor(ctx: DurableObjectState, env: Env) {
    countWrites(ctx);
    super(ctx, countedEnv(env));
  }

  override async alarm(): Promise<void> {
    counts.alarms += 1;
    await super.alarm();
  }
}

export class BrokerLink extends real.BrokerLink {
  constructor(ctx: DurableObjectState, env: Env) {
    countWrites(ctx);
    super(ctx, countedEnv(env));
  }

  override async alarm(): Promise<void> {
    counts.alarms += 1;
    await super.alarm();
  }
}

export { Coordinator, FleetStream, Releases } from '../../worker/index.ts';

export default {
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response> {
    if (new URL(request.url).pathname === '/counts') {
      const answer = Response.json(counts);
      for (const name of Object.keys(counts)) Object.assign(counts, { [name]: 0 });
      return answer;
    }
    counts.requests += 1;
    return worker.fetch(request, countedEnv(env), ctx);
  },
} satisfies ExportedHandler<Env>;

// Kept so that the module is known to hold objects.
export type Counted = DurableObject;
