/** What a campaign object makes of devices' reports in a second, against rows a bare loop over SQLite changes. */
import { startSkylark } from '../../test/skylark.ts';
import { type Bench, compare, perSecond } from '../compare.ts';
import { addFleet, drive, prefixOf, prepared, startCampaign } from './fleet.ts';

const DEVICES = 10_000;
const NAME = 'REPORTS';
/** Each device says them one after the other, so that every report changes its row. */
const STATUSES = ['downloading', 'installing', 'rebooting'];
const CAMPAIGNS = 2;

export const reportsBench: Bench = async () => {
  const sky = await startSkylark({ workerEntry: 'bench/campaigns/worker.ts' });
  try {
    const rounds: { id: string; serials: string; status: string }[] = [];
    for (let n = 0; n < CAMPAIGNS; n += 1) {
      const name = `${NAME}${n}`;
      await addFleet(sky, name, DEVICES);
      const id = await startCampaign(sky, name);
      await drive(sky, 'claim', { id, n: DEVICES });
      await prepared(sky, id);
      rounds.push(...STATUSES.map((status) => ({ id, serials: prefixOf(name), status })));
    }
    // Another object's tables: what stands in this one's way does not stand in the other's.
    await drive(sky, 'bare-rows', { id: 'bare', n: DEVICES });
    const next = rounds.values();
    const result = await compare(
      'reports a campaign takes ÷ rows a bare loop over SQLite changes',
      '≥ 0.5',
      '/s',
      () =>
        perSecond(DEVICES, async () => {
          const round = next.next().value;
          if (round === undefined) throw new RangeError('every device has said everything');
          await drive(sky, 'reports', { ...round, n: DEVICES });
        }),
      () => perSecond(DEVICES, async () => void (await drive(sky, 'bare', { id: 'bare', n: DEVICES }))),
      rounds.length - 1,
    );
    return [result];
  } finally {
    await sky.stop();
  }
};
