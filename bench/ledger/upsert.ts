/** Rows a second through the data layer, against what PostgreSQL does when it makes the rows itself. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Pool } from 'pg';
import { z } from 'zod';
import { MAX_BATCH_MESSAGES } from '../../protocol/bridge.ts';
import { type Database, openDatabase } from '../../store/connection.ts';
import { recordReports } from '../../store/device-reports.ts';
import { startSkylark } from '../../test/skylark.ts';
import { type Bench, compare, perSecond } from '../compare.ts';

const DEVICES = 20_000;
const ROUNDS = 3;
/** Statements under way at a time, on both sides. */
const AT_ONCE = 4;

export const upsertBench: Bench = async () => {
  const sky = await startSkylark();
  const { database_url } = sky.facts;
  const neon = new Worker(new URL('./neon-thread.ts', import.meta.url), { workerData: database_url });
  const direct = new Pool({ connectionString: database_url, max: AT_ONCE });
  try {
    const [endpoint] = await once(neon, 'message');
    const db = openDatabase({ DATABASE_URL: database_url, NEON_FETCH_ENDPOINT: z.string().parse(endpoint) });
    return [
      await compare(
        `devices upserted through the data layer ÷ by INSERT … SELECT in the server, ${MAX_BATCH_MESSAGES} at a time`,
        '≥ 0.5',
        'rows/s',
        () => rowsPerSecond((from, battery) => throughStore(db, from, battery)),
        () => rowsPerSecond((from, battery) => inServer(direct, from, battery)),
      ),
    ];
  } finally {
    neon.postMessage('close');
    await Promise.all([once(neon, 'exit'), direct.end()]);
    await sky.stop();
  }
};

/** Every device once in each round, and each time with something new to say. */
function rowsPerSecond(upsert: (from: number, battery: number) => Promise<void>): Promise<number> {
  return perSecond(DEVICES * ROUNDS, async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const battery = Math.random() * 100;
      const starts = Array.from({ length: DEVICES / MAX_BATCH_MESSAGES }, (_, i) => i * MAX_BATCH_MESSAGES);
      const next = starts.values();
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (const from of next) await upsert(from, battery);
        }),
      );
    }
  });
}

async function throughStore(db: Database, from: number, battery: number): Promise<void> {
  const reports = Array.from({ length: MAX_BATCH_MESSAGES }, (_, i) => ({
    serial_no: serialOf('STORE', from + i),
    model: 'BENCH',
    current_firmware: 'v1.0.0',
    status: 'online' as const,
    last_seen: new Date(),
    battery,
  }));
  await recordReports(db, reports, { approved: true, at: new Date() });
}

async function inServer(pool: Pool, from: number, battery: number): Promise<void> {
  await pool.query(
    `INSERT INTO devices (serial_no, model, current_firmware, status, last_seen, battery)
     SELECT 'SERVER-' || lpad(n::text, 6, '0'), 'BENCH', 'v1.0.0', 'online', now(), $3
     FROM generate_series($1::int, $1::int + $2::int - 1) AS n
     ON CONFLICT (serial_no) DO UPDATE SET
       model = excluded.model, current_firmware = excluded.current_firmware, status = excluded.status,
       last_seen = excluded.last_seen, battery = excluded.battery, updated_at = now()`,
    [from, MAX_BATCH_MESSAGES, battery],
  );
}

const serialOf = (side: string, n: number): string => `${side}-${String(n).padStart(6, '0')}`;
