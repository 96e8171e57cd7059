/** The Worker and its objects, with a way in for the bench: ticks without waiting, reports without the road to them. */
import { foundDevice } from '../../durable-objects/campaign/found.ts';
import type { Cursor } from '../../durable-objects/campaign/member-rows.ts';
import { Members } from '../../durable-objects/campaign/members.ts';
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

  /** Which share of all members' places the offers have come to, whatever has become of them: 0 to 1. */
  reached(): number {
    return (this.ctx.storage.kv.get<{ cursor: Cursor }>('state')?.cursor.h ?? 0) / 2 ** 32;
  }

  /** Whether members are still to be found, or to be written to the ledger. */
  isBehind(): boolean {
    const { kv, sql } = this.ctx.storage;
    const state = kv.get<{ preparing: unknown }>('state');
    return state?.preparing !== null || sql.exec('SELECT 1 FROM unwritten LIMIT 1').toArray().length > 0;
  }

  /** What a loop without any decision does: a statement for each row, by its key. */
  bareLoop(from: number, now: number): void {
    for (let n = from; n < from + BATCH; n += 1) {
      this.ctx.storage.sql.exec(
        'UPDATE members SET state = ?, updated_at = ?, revision = revision + 1 WHERE h = ? AND serial_no = ?',
        'downloading',
        now,
        hash32(`BARE-${n}`),
        `BARE-${n}`,
      );
    }
  }

  /** Rows for that: a campaign's members, with nothing else about them. */
  bareRows(n: number): void {
    const members = new Members(this.ctx.storage.sql);
    members.create();
    const rows = Array.from({ length: n }, (_, i) =>
      foundDevice({
        serial_no: `BARE-${i}`,
        device_id: crypto.randomUUID(),
        from_version: 'v1.0.0',
        gateway: null,
        zone: null,
        group: null,
        skip: null,
      }),
    );
    members.add(
      rows.sort((a, b) => a.h - b.h).map((row) => ({ ...row, stage: 0 })),
      0,
    );
  }
}
export { BrokerLink, Coordinator, FleetShard, FleetStream, Releases } from '../../worker/index.ts';

type Stub = DurableObjectStub<Campaign>;

/** `/bench/…` drives a campaign's object; answers when it is done. */
async function drive(url: URL, env: Env): Promise<Response> {
  // The namespace is of the class above.
  const campaign = env.CAMPAIGN.getByName(url.searchParams.get('id') ?? '') as unknown as Stub;
  const n = Number(url.searchParams.get('n') ?? 1);
  const prefix = url.searchParams.get('serials');
  const serials = (from: number) => Array.from({ length: BATCH }, (_, i) => `${prefix}${from + i}`);
  switch (url.pathname) {
    case '/bench/claim':
      while ((await campaign.offered()) < n) await campaign.tick();
      break;
    case '/bench/reach':
      while ((await campaign.reached()) < Number(url.searchParams.get('share'))) await campaign.tick();
      return Response.json(await campaign.reached());
    case '/bench/reports':
      for (let from = 1; from <= n; from += BATCH) {
        const report = { status: url.searchParams.get('status'), timestamp: 0 } as Reported['report'];
        await campaign.report(
          serials(from).map((serial_no) => ({ serial_no, digest: report.status, report })),
        );
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
