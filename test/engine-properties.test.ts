import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Firmware } from '../protocol/api.ts';
import type { UpdateReport } from '../protocol/messages.ts';
import { beat, deliver } from './ingest.ts';
import type { Action, Answer, Seen } from './properties/actions.ts';
import { hasEnded, type Limits, oneUpdateADevice, Promises } from './properties/promises.ts';
import { publishFirmware } from './publish.ts';
import { type Skylark, startSkylark } from './skylark.ts';

const MODEL = 'PROVEN';
const OLD = 'v1.0.0';
const NEW = 'v2.0.0';
/** Rounds in which everything that can end must have ended. */
const ROUNDS = 80;

interface Policy extends Limits {
  on_failure: 'pause' | 'rollback';
  max_attempts: number;
  update_timeout_s: number;
  stages: { name: string; percentage: number; success_threshold: number; start: 'automatic' | 'manual' }[];
}

const policy: fc.Arbitrary<Policy> = fc.record({
  max_concurrent: fc.integer({ min: 1, max: 4 }),
  failure_threshold: fc.constantFrom(0, 20, 50, 100),
  min_sample: fc.integer({ min: 1, max: 5 }),
  on_failure: fc.constantFrom('pause', 'rollback'),
  max_attempts: fc.integer({ min: 1, max: 3 }),
  update_timeout_s: fc.constantFrom(60, 600),
  stages: fc.constantFrom(...[[100], [20, 100], [10, 40, 100]]).chain((shares) =>
    fc.tuple(
      ...shares.map((percentage) =>
        fc.record({
          name: fc.constant(`${percentage} %`),
          percentage: fc.constant(percentage),
          success_threshold: fc.constantFrom(0, 50, 90),
          start: fc.constantFrom('automatic', 'manual'),
        }),
      ),
    ),
  ),
});

/** Devices by their place; the run gives them their serial numbers. */
const device = fc.integer({ min: 0, max: 9 }).map(String);
const report = fc.record({
  serial_no: device,
  status: fc.constantFrom<UpdateReport['status'][]>(
    ...([
      'downloading',
      'installing',
      'rebooting',
      'completed',
      'failed',
      'rollback',
      'rejected',
      'deferred',
    ] as const),
  ),
});
const happening: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Action>({ do: 'tick' }) },
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.uniqueArray(report, { selector: (r) => r.serial_no, minLength: 1, maxLength: 4 }),
        fc.boolean(),
      )
      .map(
        ([reports, twice]): Action => ({ do: 'report', reports: twice ? [...reports, ...reports] : reports }),
      ),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('hear' as const),
      serial_no: device,
      version: fc.constantFrom(OLD, NEW, 'v1.5.0'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('redeliver' as const), back: fc.integer({ min: 1, max: 8 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('check' as const), serial_no: device }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('skip' as const), serial_no: device }) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(1000, 31_000, 61_000, 700_000, -5000)
      .map((ms): Action => ({ do: 'wait', ms })),
  },
  { weight: 1, arbitrary: fc.constant<Action>({ do: 'pause' }) },
  { weight: 2, arbitrary: fc.constantFrom<Action[]>({ do: 'resume' }, { do: 'retry' }, { do: 'advance' }) },
);
const cancel = fc.constant<Action>({ do: 'cancel' });
const step: fc.Arbitrary<Action> = fc.oneof(
  { weight: 30, arbitrary: happening },
  { weight: 1, arbitrary: cancel },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('evict' as const),
      during: fc.oneof({ weight: 20, arbitrary: happening }, { weight: 1, arbitrary: cancel }),
      turns: fc.nat({ max: 12 }),
    }),
  },
);

/** What has broken a promise once. */
const strict: Policy = {
  max_concurrent: 10,
  failure_threshold: 0,
  min_sample: 1,
  on_failure: 'pause',
  max_attempts: 2,
  update_timeout_s: 60,
  stages: [{ name: '100 %', percentage: 100, success_threshold: 0, start: 'automatic' }],
};
const begun: Action[] = [
  { do: 'tick' },
  { do: 'report', reports: [{ serial_no: '0', status: 'rebooting' }] },
];
const asking = [...'01234567'].map((serial_no): Action => ({ do: 'check', serial_no }));
const examples: [Policy, Action[]][] = [
  [strict, [{ do: 'evict', during: { do: 'tick' }, turns: 0 }]],
  [strict, [{ do: 'evict', during: { do: 'cancel' }, turns: 0 }]],
  [strict, [...begun, { do: 'cancel' }]],
  [strict, [{ do: 'tick' }, { do: 'pause' }, ...asking]],
  [strict, [{ do: 'tick' }, { do: 'cancel' }, ...asking]],
  [strict, [...begun, { do: 'cancel' }, { do: 'report', reports: [{ serial_no: '0', status: 'deferred' }] }]],
];

describe('a campaign, whatever is reported, repeated, delayed, and whenever its object ends', () => {
  let sky: Skylark;
  let db: Client;
  let firmware: Firmware;
  let runs = 0;
  beforeAll(async () => {
    sky = await startSkylark({ workerEntry: 'test/properties/worker.ts' });
    db = new Client({ connectionString: sky.facts.database_url });
    await db.connect();
    firmware = await publishFirmware(sky, NEW, { model: MODEL });
  });
  afterAll(async () => {
    await db.end();
    await sky.stop();
  });

  /** Ten new devices; answers the serial number of each place. */
  async function newDevices(): Promise<(place: string) => string> {
    runs += 1;
    const prefix = `PROVEN-${runs}-`;
    await db.query(
      'INSERT INTO devices (serial_no, model, current_firmware) SELECT $1 || n, $2, $3 FROM generate_series(0, 9) n',
      [prefix, MODEL, OLD],
    );
    // Some are known to be offline when it begins.
    const away = ['8', '9'].map((place) => prefix + place);
    await deliver(
      sky,
      away.map((serial_no) => beat(serial_no, { model: MODEL, current_firmware: OLD })),
    );
    await deliver(
      sky,
      away.map((serial_no) => ({ serial_no, channel: 'status', payload: { status: 'offline' } })),
    );
    return (place) => prefix + place;
  }

  async function begin(serials: string[], given: Policy, more: object = {}): Promise<string> {
    const body = {
      name: `run ${runs}`,
      firmware_id: firmware.id,
      target: { serial_nos: serials },
      ...given,
      ...more,
    };
    const made = await sky.api('POST', '/campaigns', body);
    const id = String(made.body.id);
    const started = await sky.api('POST', `/campaigns/${id}/start`);
    if (started.status !== 200) throw new Error(JSON.stringify([made.body, started.body]));
    return id;
  }

  async function act(id: string, action: Action): Promise<Answer> {
    const response = await fetch(`${sky.facts.url}/act/${id}`, {
      method: 'POST',
      body: JSON.stringify(action),
    });
    if (!response.ok)
      throw new Error(`${JSON.stringify(action)}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Answer;
  }

  /** From here on the devices do what they are told, and operators let things go on. */
  async function settle(ids: readonly string[], look: (id: string, action: Action) => Promise<Seen>) {
    for (let round = 0; round < ROUNDS; round += 1) {
      let over = true;
      for (const id of ids) {
        const seen = await look(id, { do: 'tick' });
        if (seen.members.every(hasEnded) && seen.state.status !== 'active') continue;
        over = false;
        if (seen.state.status === 'paused') await look(id, { do: 'resume' });
        const offered = seen.members.filter(({ state }) => state === 'offered');
        if (offered.length > 0) {
          const reports = offered.map(({ serial_no }) => ({
            serial_no,
            status: 'rebooting' as const,
          }));
          await look(id, { do: 'report', reports });
        }
        for (const { serial_no } of offered) await look(id, { do: 'hear', serial_no, version: NEW });
        if (seen.state.status === 'active') await look(id, { do: 'advance' });
      }
      if (over) return;
      await look(ids[0] ?? '', { do: 'wait', ms: 61_000 });
    }
    throw new Error('some member never ends');
  }

  /** What the ledger says of a campaign's devices. */
  async function inLedger(id: string): Promise<Record<string, string>> {
    const { rows } = await db.query<{ serial_no: string; status: string }>(
      'SELECT serial_no, status FROM campaign_devices WHERE campaign_id = $1',
      [id],
    );
    return Object.fromEntries(rows.map(({ serial_no, status }) => [serial_no, status]));
  }

  function named(action: Action, serialOf: (place: string) => string): Action {
    switch (action.do) {
      case 'report':
        return {
          ...action,
          reports: action.reports.map((r) => ({ ...r, serial_no: serialOf(r.serial_no) })),
        };
      case 'hear':
      case 'check':
      case 'skip':
        return { ...action, serial_no: serialOf(action.serial_no) };
      case 'evict':
        return { ...action, during: named(action.during, serialOf) };
      default:
        return action;
    }
  }

  it('keeps all it promises, and every member ends', { timeout: 300_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(policy, fc.array(step, { maxLength: 60 }), async (given, steps) => {
        const serialOf = await newDevices();
        const id = await begin([...'0123456789'].map(serialOf), given);
        const promises = new Promises(given);
        const look = async (_: string, action: Action): Promise<Seen> => {
          const answer = await act(id, action);
          promises.hold(action, answer);
          return answer.seen;
        };
        for (const action of steps) await look(id, named(action, serialOf));
        await settle([id], look);
        const { members } = await look(id, { do: 'tick' });
        expect(await inLedger(id)).toEqual(
          Object.fromEntries(members.map(({ serial_no, state }) => [serial_no, state])),
        );
      }),
      { numRuns: 40, examples },
    );
  });

  it('offers no more than it may to devices that ask for themselves, all at the same time', async () => {
    const asked = async (more: object) => {
      const serials = [...'01234567'].map(await newDevices());
      const id = await begin(serials, strict, more);
      const answers = await Promise.all(serials.map((serial_no) => act(id, { do: 'check', serial_no })));
      expect((await act(id, { do: 'pause' })).ok).toBe(true);
      return answers.filter(({ ok }) => ok).length;
    };
    expect(await asked({ max_concurrent: 2 })).toBe(2);
    expect(await asked({ rate_per_minute: 1 })).toBe(1);
  });

  it('gives a device that asks again after a failure its next attempt when it is due, not at once', async () => {
    const serialOf = await newDevices();
    const serial_no = serialOf('0');
    const id = await begin([serial_no], strict);
    expect((await act(id, { do: 'check', serial_no })).ok).toBe(true);
    await act(id, { do: 'report', reports: [{ serial_no, status: 'failed' }] });
    expect((await act(id, { do: 'check', serial_no })).ok).toBe(false);
    await act(id, { do: 'wait', ms: 61_000 });
    expect((await act(id, { do: 'check', serial_no })).ok).toBe(true);
  });

  it('never has an update on a device on which another campaign has one', { timeout: 300_000 }, async () => {
    const either = fc.tuple(fc.nat({ max: 1 }), step);
    const priorities = fc.tuple(fc.constantFrom(50, 100), fc.constantFrom(50, 100));
    await fc.assert(
      fc.asyncProperty(
        policy,
        priorities,
        fc.array(either, { maxLength: 60 }),
        async (given, priority, steps) => {
          const serialOf = await newDevices();
          const serials = [...'0123456789'].map(serialOf);
          const pausing = { ...given, on_failure: 'pause' as const };
          const ids: string[] = [];
          for (const p of priority) ids.push(await begin(serials, pausing, { priority: p }));
          const latest = new Map<string, Seen>();
          const held = new Map(ids.map((id) => [id, new Promises(pausing)]));
          const look = async (id: string, action: Action): Promise<Seen> => {
            const answer = await act(id, action);
            held.get(id)?.hold(action, answer);
            latest.set(id, answer.seen);
            oneUpdateADevice([...latest.values()]);
            return answer.seen;
          };
          for (const [which, action] of steps) await look(ids[which] ?? '', named(action, serialOf));
          await settle(ids, look);
        },
      ),
      { numRuns: 20 },
    );
  });
});
