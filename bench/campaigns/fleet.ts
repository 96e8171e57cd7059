/** Fleets and campaigns of any size for the bench: devices straight into the ledger, as many as it takes. */
import { Client } from 'pg';
import { publishFirmware } from '../../test/publish.ts';
import { eventually, type Skylark } from '../../test/skylark.ts';

/** The n-th device of a fleet, from 1. */
export const prefixOf = (name: string): string => `${name}-`;

/** Registers devices `NAME-1` … `NAME-n` of the model NAME, on v1.0.0. */
export async function addFleet(sky: Skylark, name: string, n: number): Promise<void> {
  const { facts } = sky;
  const db = new Client({ connectionString: facts.database_url });
  await db.connect();
  try {
    await db.query(
      `INSERT INTO devices (serial_no, model, current_firmware)
       SELECT $1 || n, $2, 'v1.0.0' FROM generate_series(1, $3::int) AS n`,
      [prefixOf(name), name, n],
    );
    await db.query('VACUUM ANALYZE devices');
  } finally {
    await db.end();
  }
  await checkpoint(sky);
}

/** Has the ledger write all it holds in memory. */
export async function checkpoint({ facts }: Skylark): Promise<void> {
  const db = new Client({ connectionString: facts.database_url });
  await db.connect();
  try {
    await db.query('CHECKPOINT');
  } finally {
    await db.end();
  }
}

/** A campaign for the whole fleet, begun and still looking for its devices. Answers its id. */
export async function startCampaign(sky: Skylark, name: string, more: object = {}): Promise<string> {
  const firmware = await publishFirmware(sky, `v2.0.${Date.now()}`, { model: name });
  const made = await sky.api('POST', '/campaigns', {
    name,
    firmware_id: firmware.id,
    stages: [{ name: 'everyone', percentage: 100 }],
    max_concurrent: 1_000_000,
    rate_per_minute: 1_000_000,
    ...more,
  });
  const id = String(made.body.id);
  const started = await sky.api('POST', `/campaigns/${id}/start`);
  if (started.status !== 200) throw new Error(`the campaign did not start: ${JSON.stringify(started.body)}`);
  return id;
}

/** Has the object of a campaign do something (`worker.ts` beside this); answers what it said. */
export async function drive(
  { facts }: Skylark,
  what: string,
  query: Record<string, string | number>,
): Promise<string> {
  const words = new URLSearchParams(
    Object.entries(query).map(([key, value]): [string, string] => [key, `${value}`]),
  );
  const response = await fetch(`${facts.url}/bench/${what}?${words}`);
  const said = await response.text();
  if (!response.ok) throw new Error(`bench/${what} answered ${response.status}: ${said}`);
  return said;
}

/** Resolves when all members are dealt out and in the ledger. */
export async function prepared(sky: Skylark, id: string): Promise<void> {
  await eventually(
    'the members to be in the ledger',
    async () => (await drive(sky, 'behind', { id })) === 'false',
    300_000,
  );
}
