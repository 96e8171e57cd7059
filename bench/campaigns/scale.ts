/** What a device costs a campaign: the hundred-thousandth, and the millionth, against the ten-thousandth. */
import { type Skylark, startSkylark } from '../../test/skylark.ts';
import { type Bench, median, type Result } from '../compare.ts';
import { addFleet, checkpoint, drive, prepared, startCampaign } from './fleet.ts';

/**
 * Of all members, how many are offered the update: the same share, so that no size has it easier with its caches; and
 * few enough that the last has its offer before the first one's runs out.
 */
const CLAIMED = 0.05;
/** Offered for one request. */
const STEP = 10_000;

/** Microseconds for each device of a campaign: to be found, dealt out and written; and to be offered the update. */
interface Cost {
  preparing: number;
  claiming: number;
}

export const scaleBench: Bench = async () => {
  const sky = await startSkylark({ workerEntry: 'bench/campaigns/worker.ts' });
  try {
    for (const n of [10_000, 100_000, 1_000_000]) await addFleet(sky, nameOf(n), n);
    await costOf(sky, 10_000);
    return [
      await compareSizes(sky, { large: 100_000, small: 10_000, pairs: 5, goal: '≤ 1.1' }),
      await compareSizes(sky, { large: 1_000_000, small: 100_000, pairs: 3, goal: '≤ 1.2' }),
    ];
  } finally {
    await sky.stop();
  }
};

const nameOf = (n: number): string => `SCALE${n}`;

async function costOf(sky: Skylark, n: number): Promise<Cost> {
  const started = performance.now();
  const id = await startCampaign(sky, nameOf(n), { windows: [closedToday()] });
  await prepared(sky, id);
  const until = performance.now();
  // The first change of a page after a checkpoint costs more, and a large campaign must not have more of them.
  await checkpoint(sky);
  const from = performance.now();
  const { body } = await sky.api('PUT', `/campaigns/${id}`, { windows: [] });
  if (body.status !== 'active') throw new Error(`the campaign is ${body.status}`);
  // In steps: an answer must not take longer than whoever asks waits for one.
  let reached = 0;
  while (reached < CLAIMED) {
    reached = Number(await drive(sky, 'reach', { id, share: Math.min(CLAIMED, reached + STEP / n) }));
  }
  // What was offered, and not what was asked for: a tick offers many at once, which is more than a small share.
  const claiming = ((performance.now() - from) / (n * reached)) * 1000;
  await sky.api('POST', `/campaigns/${id}/cancel`);
  await prepared(sky, id);
  return { preparing: ((until - started) / n) * 1000, claiming };
}

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

/** A window that keeps devices from beginning before the clock is asked to have them begin. */
const closedToday = () => ({ from: '00:00', to: '00:01', days: [DAYS[(new Date().getUTCDay() + 3) % 7]] });

interface Sizes {
  large: number;
  small: number;
  pairs: number;
  goal: string;
}

async function compareSizes(sky: Skylark, { large, small, pairs, goal }: Sizes): Promise<Result> {
  const costs: { large: Cost; small: Cost }[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    costs.push({ small: await costOf(sky, small), large: await costOf(sky, large) });
  }
  const said = (size: 'large' | 'small') => {
    const at = (what: keyof Cost) => median(costs.map((cost) => cost[size][what])).toFixed(0);
    return `${at('preparing')} + ${at('claiming')} µs`;
  };
  return {
    name: `a device of ${large.toLocaleString('en')} found, dealt out and written + offered ÷ one of ${small.toLocaleString('en')}`,
    goal,
    ratio: median(costs.map((cost) => total(cost.large) / total(cost.small))),
    measured: said('large'),
    baseline: said('small'),
  };
}

const total = ({ preparing, claiming }: Cost): number => preparing + claiming;
