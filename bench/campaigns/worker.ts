/** The Worker and its objects, with a way in for the bench: ticks without waiting, reports without the road to them. */
import type { Env } from '../../durable-objects/env.ts';
import type { Reported } from '../../durable-objects/fleet-shard/messages.ts';
import { hash32 } from '../../protocol/shards.ts';
import worker, * as real from '../../worker/index.ts';

/** Reports in one call, as a fleet shard brings them. */
const BATCH = 500;

export class Campaign extends real.Campaign {
  tick(): Promise<void> {
    return this.alarm();
  }

  /** How many members have been offered the update. */
  offered(): number {
    const state = this.ctx.storage.kv.get<{ counts: { offered: number }[] }>('state');
    return state?.counts.reduce((sum, { offered }) => sum + offered, 0) ?? 0;
  }

  /** Whether members are still to be found, or to be written to the ledger. */
  isBehind(): boolean {
    const { kv, sql } = this.ctx.storage;
    const state = kv.get<{ preparing: unknown }>('state');
    return state?.preparing !== null || sql.exec('SELECT 1 FROM unwritten LIMIT 1').toArray().length > 0;
  }

  /** What a loop without any decision does: a statement for each row, by its key. */
  bareLoop(from: number, round: number): void {
    for (let n = from; n < from + BATCH; n += 1) {
      this.ctx.storage.sql.exec(
        'UPDATE bare SET state = ?, updated_at = ? WHERE h = ? AND serial_no = ?',
        'downloading',
        round,
        hash32(`BARE-${n}`),
        `BARE-${n}`,
      );
    }
  }

  /** The rows for that, like the members'. */
  bareRows(n: number): void {
    const { sql } = this.ctx.storage;
    sql.exec(`DROP TABLE IF EXISTS bare; CREATE TABLE bare (
      h INTEGER, serial_no TEXT, state TEXT, updated_at INTEGER, PRIMARY KEY (h, serial_no)) WITHOUT ROWID`);
    for (let i = 0; i < n; i += 1)
      sql.exec('INSERT INTO bare VALUES (?, ?, ?, ?)', hash32(`BARE-${i}`), `BARE-${i}`, 'pending', 0);
  }
}
export { BrokerLink, Coordinator, FleetShard, FleetStream, Releases } from '../../worker/index.ts';

type Stub = DurableObjectStub<Campaign>;

/** `/bench/…` drives a campaign's object; answers when it is done. */
async function drive(url: URL, env: Env): Promise<Response> {
  // The namespace is of the class above.
  const campaign = env.CAMPAIGN.getByName(url.searchParams.get('id') ?? '') as unknown as Stub;
  const n = Number(url.searchParams.get('n') ?? 1);
  const serials = (from: number) =>
    Array.from({ length: BATCH }, (_, i) => `${url.searchParams.get('serials')}${from + i}`);
  switch (url.pathname) {
    case '/bench/claim':
      while ((await campaign.offered()) < n) await campaign.tick();
      break;
    case '/bench/reports':
      for (let from = 1; from <= n; from += BATCH) {
        const report = { status: url.searchParams.get('status'), timestamp: 0 } as Reported['report'];
        await campaign.report(serials(from).map((serial_no) => ({ serial_no, report })));
      }
      break;
    case '/bench/behind':
      return Response.json(await campaign.isBehind());
    case '/bench/bare':
      for (let from = 0; from < n; from += BATCH) await campaign.bareLoop(from, Date.now());
      break;
    case '/bench/bare-rows':
      await campaign.bareRows(n);
      break;
    default:
      return new Response('no such bench', { status: 404 });
  }
  return new Response('done');
}

export default {
  fetch(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response> {
    const url = new URL(request.url);
    return url.pathname.startsWith('/bench/') ? drive(url, env) : worker.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Env>;
