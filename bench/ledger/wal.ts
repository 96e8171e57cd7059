/** What a heartbeat costs the ledger in write-ahead log: nothing to say, or something new. */
import { Client } from 'pg';
import { MAX_BATCH_MESSAGES } from '../../protocol/bridge.ts';
import { SHARD_COUNT } from '../../protocol/shards.ts';
import { arrive, steadyFleet } from '../../test/billable/count.ts';
import { beat, deliver } from '../../test/ingest.ts';
import { startSkylark } from '../../test/skylark.ts';
import { type Bench, compare, median, type Result } from '../compare.ts';

const ROUNDS = 5;

export const walBench: Bench = async () => {
  const sky = await startSkylark();
  const db = new Client({ connectionString: sky.facts.database_url });
  await db.connect();
  const fleet = steadyFleet();
  let battery = 0;
  const another = () => {
    battery = (battery + 40) % 100;
    return battery;
  };
  /** Every device says this of its battery. */
  const say = (percent: number) =>
    deliver(
      sky,
      fleet.map((serial) => beat(serial, { model: 'STEADY', battery: percent })),
    );
  try {
    await arrive(sky, fleet);
    // The server's own work on the table in the background would count for neither side.
    await db.query('ALTER TABLE devices SET (autovacuum_enabled = off)');
    await db.query('VACUUM ANALYZE devices');
    await say(battery);
    const unchanged: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1)
      unchanged.push((await logged(db, () => say(battery))) / fleet.length);
    return [
      nothing(median(unchanged)),
      await compare(
        'log for a heartbeat that says something new ÷ for a bare UPDATE of its row',
        '≤ 1.1',
        'bytes',
        async () => (await logged(db, () => say(another()))) / fleet.length,
        async () => (await logged(db, () => bareUpdates(db, another()))) / fleet.length,
      ),
    ];
  } finally {
    await db.end();
    await sky.stop();
  }
};

const nothing = (bytes: number): Result => ({
  name: 'log for a heartbeat that says nothing new',
  goal: '0',
  ratio: bytes,
  measured: `${bytes} bytes`,
  baseline: 'nothing to write',
});

/** How much longer the log has become, in bytes. */
async function logged(db: Client, work: () => Promise<unknown>): Promise<number> {
  const end = async () => {
    const { rows } = await db.query<{ end: string }>('SELECT pg_current_wal_insert_lsn() AS end');
    return rows[0]?.end ?? '';
  };
  const before = await end();
  await work();
  const { rows } = await db.query<{ bytes: string }>('SELECT pg_wal_lsn_diff($1, $2) AS bytes', [
    await end(),
    before,
  ]);
  return Number(rows[0]?.bytes);
}

/** The columns a heartbeat with news changes, on every row, a transaction for as many as a batch has. */
async function bareUpdates(db: Client, battery: number): Promise<void> {
  for (let batch = 0; batch < SHARD_COUNT; batch += 1) {
    await db.query(
      `UPDATE devices SET battery = $1, last_seen = now(), updated_at = now()
       WHERE serial_no IN (SELECT serial_no FROM devices ORDER BY serial_no LIMIT $2 OFFSET $3)`,
      [battery, MAX_BATCH_MESSAGES, batch * MAX_BATCH_MESSAGES],
    );
  }
}
