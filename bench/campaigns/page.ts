/** How long the page of a campaign takes: with 100,000 members, against 1,000. */
import { setTimeout as wait } from 'node:timers/promises';
import { campaignMetrics } from '../../protocol/api.ts';
import { FORGOTTEN_S } from '../../store/cache.ts';
import { eventually, type Skylark, startSkylark } from '../../test/skylark.ts';
import { type Bench, compare, median } from '../compare.ts';
import { addFleet, drive, prepared, startCampaign } from './fleet.ts';

const SMALL = 1000;
const LARGE = 100_000;
const LOOKS = 20;

export const pageBench: Bench = async () => {
  const sky = await startSkylark({ workerEntry: 'bench/campaigns/worker.ts' });
  try {
    const cookie = await signIn(sky);
    const begun = async (n: number): Promise<string> => {
      const name = `PAGE${n}`;
      await addFleet(sky, name, n);
      const id = await startCampaign(sky, name);
      await drive(sky, 'claim', { id, n: SMALL });
      await prepared(sky, id);
      await sky.api('POST', `/campaigns/${id}/pause`);
      return id;
    };
    const [small, large] = [await begun(SMALL), await begun(LARGE)];
    // Neither has anything else to do while it is looked at: its offers have run out, the ledger has that, and the
    // cache may keep it again. Else it is which of the two changed last that is measured.
    for (const id of [small, large]) {
      await eventually('the offers to run out', async () => (await offered(sky, id)) === 0, 90_000);
      await prepared(sky, id);
    }
    await wait((FORGOTTEN_S + 1) * 1000);
    const look = async (id: string): Promise<number> => {
      const times: number[] = [];
      for (let n = 0; n < LOOKS; n += 1) {
        const from = performance.now();
        const page = await fetch(`${sky.facts.url}/campaigns/${id}`, { headers: { Cookie: cookie } });
        if (!page.ok || !(await page.text()).includes('campaign-live')) throw new Error('not the page');
        times.push(performance.now() - from);
      }
      return median(times);
    };
    return [
      await compare(
        'a campaign’s page with 100,000 members ÷ with 1,000',
        '≤ 1.2',
        'ms',
        () => look(large),
        () => look(small),
      ),
    ];
  } finally {
    await sky.stop();
  }
};

async function offered(sky: Skylark, id: string): Promise<number> {
  const { body } = await sky.api('GET', `/campaigns/${id}/metrics`);
  return campaignMetrics.parse(body).counts.offered;
}

/** Answers the cookie of a session. */
async function signIn({ facts }: Skylark): Promise<string> {
  const answer = await fetch(`${facts.url}/sign-in`, {
    method: 'POST',
    headers: { Origin: facts.url },
    body: new URLSearchParams(facts.admin),
    redirect: 'manual',
  });
  const [cookie] = answer.headers.getSetCookie();
  if (answer.status !== 303 || cookie === undefined) throw new Error(`sign-in answered ${answer.status}`);
  return cookie.split(';', 1)[0] ?? '';
}
