/** What a device costs a campaign: the hundred-thousandth, and the millionth, against the ten-thousandth. */
import { startSkylark } from '../../test/skylark.ts';
import { type Bench, median, type Result } from '../compare.ts';
import { addFleet, drive, prepared, startCampaign } from './fleet.ts';

const CLAIMED = 5000;

/** Microseconds for each device of a campaign of `n`: to be found, dealt out and written; and to be offered it. */
interface Cost {
  preparing: number;
  claiming: number;
}

export const scaleBench: Bench = async () => {
  const sky = await startSkylark({ workerEntry: 'bench/campaigns/worker.ts' });
  const cost = async (n: number): Promise<Cost> => {
    const name = `SCALE${n}`;
    // Nothing is offered before the clock is asked to.
    const closed = {
      windows: [{ from: '00:00', to: '00:01', days: [DAYS[(new Date().getUTCDay() + 3) % 7]] }],
    };
    const started = performance.now();
    const id = await startCampaign(sky, name, closed);
    await prepared(sky, id);
    const preparing = performance.now() - started;
    const { body } = await sky.api('PUT', `/campaigns/${id}`, { windows: [] });
    if (body.status !== 'active') throw new Error(`the campaign is ${body.status}`);
    const from = performance.now();
    await drive(sky, 'claim', { id, n: CLAIMED });
    const claiming = performance.now() - from;
    await sky.api('POST', `/campaigns/${id}/cancel`);
    await prepared(sky, id);
    return { preparing: (preparing / n) * 1000, claiming: (claiming / CLAIMED) * 1000 };
  };
  try {
    const sizes = [10_000, 100_000, 1_000_000];
    for (const n of sizes) await addFleet(sky, `SCALE${n}`, n);
    await cost(10_000);
    const rounds: Cost[][] = [];
    for (let round = 0; round < 2; round += 1) {
      const costs: Cost[] = [];
      for (const n of sizes) costs.push(await cost(n));
      rounds.push(costs);
    }
    return [
      compareSizes('preparing', rounds, 1, 0, '≤ 1.1'),
      compareSizes('preparing', rounds, 2, 1, '≤ 1.2'),
      compareSizes('claiming', rounds, 1, 0, '≤ 1.1'),
      compareSizes('claiming', rounds, 2, 1, '≤ 1.2'),
    ];
  } finally {
    await sky.stop();
  }
};

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const WORDS = { preparing: 'found, dealt out and written', claiming: 'claimed and offered' };
const SIZES = ['10,000', '100,000', '1,000,000'];

function compareSizes(
  what: keyof Cost,
  rounds: readonly Cost[][],
  large: number,
  small: number,
  goal: string,
): Result {
  const at = (size: number) => rounds.map((costs) => costs[size]?.[what] ?? Number.NaN);
  const [measured, baseline] = [at(large), at(small)];
  return {
    name: `a device of ${SIZES[large]} ${WORDS[what]} ÷ one of ${SIZES[small]}`,
    goal,
    ratio: median(measured.map((value, i) => value / (baseline[i] ?? Number.NaN))),
    measured: `${median(measured).toFixed(0)} µs`,
    baseline: `${median(baseline).toFixed(0)} µs`,
  };
}
