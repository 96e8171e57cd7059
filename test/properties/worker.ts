/**
 * The Worker and its objects, for tests that decide themselves what happens when: a campaign's clock ticks only when
 * told to, the time is what they say, its object can be ended in the middle of anything, and its rows can be seen.
 */
import type { Env } from '../../durable-objects/env.ts';
import worker, * as real from '../../worker/index.ts';
import type { Action, Answer, SeenMember, SeenState } from './actions.ts';

let ahead = 0;
const realNow = Date.now;
Date.now = () => realNow() + ahead;

export class Campaign extends real.Campaign {
  override async alarm(): Promise<void> {
    // The test says when the clock ticks.
  }

  async tick(): Promise<void> {
    await super.alarm();
  }

  evict(): void {
    this.ctx.abort('evicted by the test');
  }

  rows(): { state: SeenState; members: SeenMember[] } {
    const { kv, sql } = this.ctx.storage;
    const state = kv.get<SeenState>('state');
    if (state === undefined) throw new Error('the campaign has not begun');
    const members = sql.exec<SeenMember & Record<string, SqlStorageValue>>(
      'SELECT serial_no, stage, state, attempt, failure, error, offered_at FROM members ORDER BY h, serial_no',
    );
    return { state, members: members.toArray() };
  }
}

export class BrokerLink extends real.BrokerLink {
  /** Commands for a campaign: how many were ever queued, and how many still wait. */
  queued(campaignId: string): { ever: number; waiting: number } {
    const { kv, sql } = this.ctx.storage;
    const waiting = sql.exec<{ n: number }>(
      'SELECT count(*) AS n FROM outbox WHERE campaign_id = ?',
      campaignId,
    );
    return { ever: kv.get<number>(`ever-${campaignId}`) ?? 0, waiting: waiting.one().n };
  }

  override async enqueue(messages: Parameters<real.BrokerLink['enqueue']>[0]): Promise<void> {
    const { kv } = this.ctx.storage;
    for (const { campaign_id } of messages) {
      kv.put(`ever-${campaign_id}`, (kv.get<number>(`ever-${campaign_id}`) ?? 0) + 1);
    }
    await super.enqueue(messages);
  }
}
export { Coordinator, FleetShard, FleetStream, Releases } from '../../worker/index.ts';

type Stub = DurableObjectStub<Campaign>;

const delivered = new Map<string, Parameters<real.Campaign['report']>[0][]>();

/** Everything that was ever reported to a campaign. */
function deliveredTo({ name = '' }: Stub) {
  const before = delivered.get(name) ?? [];
  delivered.set(name, before);
  return before;
}

async function act(campaign: Stub, action: Action): Promise<{ ok: boolean }> {
  switch (action.do) {
    case 'tick':
      await campaign.tick();
      return { ok: true };
    case 'report': {
      const timestamp = Math.floor(Date.now() / 1000);
      const items = action.reports.map(({ serial_no, status }) => ({
        serial_no,
        digest: `${serial_no} ${status} ${timestamp}`,
        report: { campaign_id: campaign.name ?? '', status, timestamp },
      }));
      deliveredTo(campaign).push(items);
      await campaign.report(items);
      return { ok: true };
    }
    case 'redeliver':
      await campaign.report(deliveredTo(campaign).at(-action.back) ?? []);
      return { ok: true };
    case 'hear':
      await campaign.hear([{ serial_no: action.serial_no, current_firmware: action.version, apps: {} }]);
      return { ok: true };
    case 'check':
      return { ok: (await campaign.check(action.serial_no)) !== null };
    case 'wait':
      ahead += action.ms;
      return { ok: true };
    case 'pause':
    case 'cancel':
      return campaign[action.do](`the test said ${action.do}`);
    case 'resume':
    case 'retry':
      return campaign[action.do]();
    case 'advance':
      return campaign.advance((await campaign.look())?.metrics.stage.index ?? 0);
    case 'skip':
      return campaign.skip(action.serial_no, 'the test');
    case 'evict':
      return evictDuring(campaign, action.during, action.turns);
  }
}

/** Ends the object while it does something, so many turns after it began; what was not answered may have happened. */
async function evictDuring(campaign: Stub, during: Action, turns: number): Promise<{ ok: boolean }> {
  const done = act(campaign, during).catch(() => ({ ok: false }));
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setTimeout(resolve, 1));
  const answered = await Promise.race([done, Promise.resolve(undefined)]);
  await Promise.resolve(campaign.evict()).catch(() => undefined);
  await done;
  return answered ?? { ok: false };
}

async function step(env: Env, id: string, action: Action): Promise<Answer> {
  // The namespaces are of the classes above.
  const campaigns = env.CAMPAIGN as unknown as DurableObjectNamespace<Campaign>;
  const links = env.BROKER_LINK as unknown as DurableObjectNamespace<BrokerLink>;
  const { ok } = await act(campaigns.getByName(id), action);
  const [rows, queued] = await Promise.all([
    campaigns.getByName(id).rows(),
    links.getByName('main').queued(id),
  ]);
  return { ok, seen: { ...rows, queued } };
}

export default {
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith('/act/')) return worker.fetch(request, env, ctx);
    return Response.json(await step(env, pathname.slice('/act/'.length), await request.json<Action>()));
  },
} satisfies ExportedHandler<Env>;
