/** How soon whoever watches a campaign sees a change: with a hundred watching, against one. */
import { once } from 'node:events';
import { WebSocket } from 'undici';
import { deliver } from '../../test/ingest.ts';
import { type Skylark, startSkylark } from '../../test/skylark.ts';
import { type Bench, compare, quantile } from '../compare.ts';
import { addFleet, drive, prefixOf, prepared, startCampaign } from './fleet.ts';

const NAME = 'WATCHED';
const DEVICES = 200;
const MANY = 100;
const CHANGES = 20;

export const watchersBench: Bench = async () => {
  const sky = await startSkylark({ workerEntry: 'bench/campaigns/worker.ts' });
  try {
    await addFleet(sky, NAME, DEVICES);
    const id = await startCampaign(sky, NAME);
    await drive(sky, 'claim', { id, n: DEVICES });
    await prepared(sky, id);
    let percent = 0;
    const p95 = async (watchers: number): Promise<number> => {
      const sockets = await Promise.all(Array.from({ length: watchers }, () => watch(sky, id)));
      const waits: number[] = [];
      for (let change = 0; change < CHANGES; change += 1) {
        percent = (percent % 99) + 1;
        const from = performance.now();
        const told = sockets.map(async (socket) => {
          await once(socket, 'message');
          waits.push(performance.now() - from);
        });
        await report(sky, id, percent);
        await Promise.all(told);
      }
      for (const socket of sockets) socket.close();
      await Promise.all(sockets.map((socket) => once(socket, 'close')));
      return quantile(waits, 0.95);
    };
    return [
      await compare(
        `a change seen by ${MANY} who watch a campaign, p95 ÷ by one`,
        '≤ 1.3',
        'ms',
        () => p95(MANY),
        () => p95(1),
      ),
    ];
  } finally {
    await sky.stop();
  }
};

async function watch({ facts }: Skylark, id: string): Promise<WebSocket> {
  const url = `${facts.url.replace('http', 'ws')}/api/v1/stream/campaigns/${id}`;
  const socket = new WebSocket(url, { headers: { Authorization: `Bearer ${facts.api_key}` } });
  await once(socket, 'message');
  return socket;
}

const report = (sky: Skylark, id: string, progress: number) =>
  deliver(sky, [
    {
      serial_no: `${prefixOf(NAME)}1`,
      channel: 'status',
      payload: {
        campaign_id: id,
        status: 'downloading',
        progress,
        timestamp: Math.floor(Date.now() / 1000),
      },
    },
  ]);
