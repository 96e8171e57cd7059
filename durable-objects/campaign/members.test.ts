import { env, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { Env } from '../env.ts';
import { foundDevice } from './found.ts';
import type { Member } from './member.ts';
import { Members } from './members.ts';

const worker = env as unknown as Env;

const device = (serial_no: string) => ({
  ...foundDevice({
    serial_no,
    device_id: 'd',
    from_version: null,
    gateway: null,
    zone: null,
    group: null,
    skip: null,
  }),
  stage: 0,
});

/** Runs with members that have become what they are said to be. */
const having = (given: Record<string, Partial<Member>>, look: (members: Members) => void) =>
  runInDurableObject(worker.CAMPAIGN.getByName(crypto.randomUUID()), (_object, { storage }) => {
    const members = new Members(storage.sql);
    members.create();
    members.add(Object.keys(given).map(device), 0);
    for (const [serial, change] of Object.entries(given)) {
      const before = members.get(serial);
      if (before !== undefined) members.save({ ...before, ...change }, before);
    }
    look(members);
  });

const serials = (members: Member[]) => members.map(({ serial_no }) => serial_no);

describe('the members the clock looks at', () => {
  it('are those that ran out of time, however many wait longer for their turn', async () => {
    const waits = Array.from({ length: 50 }, (_, i) => [`W${i}`, { next_at: 1, wake_at: 1 }] as const);
    const late = { state: 'offered', attempt: 1, offered_at: 0, next_at: 5, wake_at: 5 } as const;
    await having({ ...Object.fromEntries(waits), LATE: late }, (members) => {
      expect(serials(members.due(10, 20))).toContain('LATE');
      expect(members.due(10, 20)).toHaveLength(21);
      expect(serials(members.due(4, 100))).not.toContain('LATE');
      expect(members.nextWake()).toBe(1);
    });
  });
});

describe('members that change together', () => {
  it('are found and written whatever their serial numbers look like', async () => {
    const names = ['0', '7', '007', '4294967294', '__proto__', 'constructor', 'A-1'];
    const none = names.map((name) => [name, {}] as const);
    await having(Object.fromEntries(none), (members) => {
      members.batch(names, () => {
        for (const [i, name] of names.entries()) {
          const before = members.get(name);
          if (before === undefined) throw new Error(`no member ${name}`);
          members.save({ ...before, state: 'offered', attempt: i + 1 }, before);
        }
      });
      expect(members.list(names).map(({ serial_no, attempt }) => [serial_no, attempt])).toEqual(
        names.map((name, i) => [name, i + 1]),
      );
      expect(serials(members.unwritten(100).members).sort()).toEqual([...names].sort());
    });
  });
});
