import { env, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Env } from '../env.ts';
import type { Presence, Recorded } from './presence.ts';
import { Presences } from './presences.ts';

const worker = env as unknown as Env;
const PATIENCE_MS = 60_000;
/** A shard to which nothing happens for this long loses its memory. */
const SLEEPS_MS = 10_000;
const START = Date.parse('2026-01-01T00:00:00Z');

const record: Recorded = {
  device_id: '00000000-0000-4000-8000-000000000000',
  revoked: false,
  model: 'TX-100',
  current_firmware: 'v1',
  state: null,
  battery: null,
  temperature: null,
  apps: null,
  last_seen: START,
};

/** Does something with the presences of a shard, in one life after the other. */
async function lives(name: string, work: (next: () => Presences) => void): Promise<void> {
  await runInDurableObject(worker.FLEET_SHARD.getByName(`presences-${name}`), (_shard, { storage }) =>
    work(() => {
      const presences = new Presences(storage.sql, PATIENCE_MS, Date.now());
      presences.woke(Date.now());
      return presences;
    }),
  );
}

const later = (ms: number) => vi.setSystemTime(Date.now() + ms);
const meet = (presences: Presences): Presence => presences.meet({ serialNo: 'D1', status: 'online' }, record);
/** As the alarm does that rings when there is something to do. */
function ring(presences: Presences): string[] {
  presences.rang(Date.now());
  const silent = presences.silent(Date.now());
  for (const known of silent) presences.gone(known);
  presences.sleepUntil(presences.nextAt);
  return silent.map(({ serial_no }) => serial_no);
}

describe('what a shard remembers of its devices', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: START, toFake: ['Date'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('is written before a shard that has nothing to do loses its memory', () =>
    lives('in-time', (next) => {
      const presences = next();
      presences.heard(meet(presences), Date.now(), true);
      expect(presences.nextAt).toBeLessThan(START + SLEEPS_MS);
    }));

  it('is exact to the second in its next life, and neither early nor late in saying who is silent', () =>
    lives('exact', (next) => {
      let presences = next();
      later(5000);
      presences.heard(meet(presences), Date.now(), true);
      const heardAt = Date.now();
      later(9000);
      expect(ring(presences)).toEqual([]);
      for (const [at, silent] of [
        [heardAt + PATIENCE_MS - 1, []],
        [heardAt + PATIENCE_MS + 8000, ['D1']],
      ] as const) {
        vi.setSystemTime(at);
        presences = next();
        expect(presences.get('D1')?.last_seen).toBe(heardAt);
        expect(ring(presences)).toEqual(silent);
      }
    }));

  it('makes no silence of what was heard and then lost in a crash, however often it sleeps since', () =>
    lives('crash', (next) => {
      let presences = next();
      presences.heard(meet(presences), Date.now(), true);
      later(9000);
      ring(presences);
      later(PATIENCE_MS - 10_000);
      // Heard, and the memory lost at once.
      presences = next();
      presences.heard(meet(presences), Date.now(), true);
      const crashedAt = Date.now();
      later(2000);
      presences = next();
      later(9000);
      expect(ring(presences)).toEqual([]);
      later(20_000);
      presences = next();
      expect(ring(presences)).toEqual([]);
      vi.setSystemTime(crashedAt + 2000 + PATIENCE_MS + 8000);
      expect(ring(next())).toEqual(['D1']);
    }));

  it('makes no silence of a time in which nobody listened, whatever was written before', () =>
    lives('outage', (next) => {
      let presences = next();
      presences.heard(meet(presences), Date.now(), true);
      later(9000);
      ring(presences);
      later(20_000);
      // Woken by another device, whose change is written at once; then all of it is away for longer than anybody waits.
      presences = next();
      presences.heard(presences.meet({ serialNo: 'D2', status: 'offline' }, record), Date.now(), true);
      presences.flush();
      later(PATIENCE_MS + 30_000);
      presences = next();
      expect(ring(presences)).toEqual([]);
      later(PATIENCE_MS + 8000);
      expect(ring(presences).sort()).toEqual(['D1', 'D2']);
    }));

  it('invents no time at which a device was heard, and says that it is silent in the end', () =>
    lives('met', (next) => {
      const first = next();
      first.meet({ serialNo: 'D1', status: 'online' }, { ...record, last_seen: 0 });
      later(PATIENCE_MS / 2);
      // The blob knows nothing of it: its memory was lost before.
      const second = next();
      expect(second.get('D1')?.last_seen).toBe(0);
      expect(second.meet({ serialNo: 'D1', status: 'online' }, record).last_seen).toBe(START);
      later(9000);
      expect(ring(second)).toEqual([]);
      later(PATIENCE_MS);
      expect(ring(next())).toEqual(['D1']);
    }));
});
