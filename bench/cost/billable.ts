/** What is billed for 1,000 heartbeats of a million devices, counted, against a call of everything for each. */
import { costOfHeartbeats, perThousand } from '../../test/billable/count.ts';
import { startSkylark } from '../../test/skylark.ts';
import type { Bench } from '../compare.ts';

/** A million devices, a heartbeat each 5 minutes. */
const HEARTBEATS_PER_SECOND = 1_000_000 / 300;

export const billableBench: Bench = async () => {
  const sky = await startSkylark({ workerEntry: 'test/billable/worker.ts' });
  try {
    const { total, ...each } = perThousand(await costOfHeartbeats(sky), HEARTBEATS_PER_SECOND);
    const counted = Object.entries(each).filter(([, n]) => n > 0);
    return [
      {
        name: 'billable operations per 1,000 heartbeats of a million devices',
        goal: '≤ 6',
        ratio: total,
        measured: counted.map(([what, n]) => `${what} ${n}`).join(', '),
        baseline: '1,000 heartbeats',
      },
    ];
  } finally {
    await sky.stop();
  }
};
