/** Bytes down: what a device gets through the Worker, R2 and the edge cache. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { publishFirmware } from '../test/publish.ts';
import { startSkylark } from '../test/skylark.ts';
import { type Bench, compare, perSecond } from './compare.ts';

const SIZE = 5 * 1024 * 1024;

const take = (url: string) =>
  perSecond((10 * SIZE) / 1e6, async () => {
    for (let i = 0; i < 10; i += 1) {
      const response = await fetch(url);
      if ((await response.arrayBuffer()).byteLength !== SIZE) throw new Error('a download was cut short');
    }
  });

export const downloadsBench: Bench = async () => {
  const sky = await startSkylark();
  const bytes = randomBytes(SIZE);
  const plain = createServer((_, response) => response.end(bytes)).listen(0, '127.0.0.1');
  try {
    const firmware = await publishFirmware(sky, 'v1.0.0', { model: 'BENCH', size: SIZE });
    const link = await fetch(`${sky.facts.url}/api/v1/firmware/${firmware.id}/download`, {
      headers: { Authorization: `Bearer ${sky.facts.api_key}` },
      redirect: 'manual',
    });
    const url = sky.facts.url + (link.headers.get('Location') ?? '');
    if (!plain.listening) await once(plain, 'listening');
    const address = plain.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return [
      await compare(
        '5 MB through Worker and R2 ÷ node:http from memory',
        '≥ 0.35',
        'MB/s',
        () => take(url),
        () => take(`http://127.0.0.1:${port}`),
      ),
    ];
  } finally {
    plain.close();
    plain.closeAllConnections();
    await sky.stop();
  }
};
