import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Outbox } from './outbox.ts';
import { other, Slots } from './slots.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'skylark-slots-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('two slots', () => {
  it('start with the factory image', () => {
    const slots = new Slots(directory, 'v1');
    expect(slots.version(slots.boot())).toBe('v1');
  });

  it('give a new version one try, and go back by themselves when it is not committed', () => {
    const slots = new Slots(directory, 'v1');
    slots.boot();
    slots.markInstalled('b', 'v2');
    expect(slots.version(slots.boot())).toBe('v2');
    expect(slots.version(slots.boot())).toBe('v1');
    expect(slots.state.fell_back).toBe(true);
  });

  it('keep a version that was committed', () => {
    const slots = new Slots(directory, 'v1');
    slots.markInstalled('b', 'v2');
    slots.commit(slots.boot());
    expect(slots.version(new Slots(directory, 'v1').boot())).toBe('v2');
  });

  it('boot the last version that worked, or its successor once, whatever happens in whatever order', () => {
    const step = fc.constantFrom('install', 'boot', 'commit', 'abandon', 'power loss');
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        rmSync(directory, { recursive: true, force: true });
        let slots = new Slots(directory, 'v1');
        let [good, running, next] = ['v1', slots.boot(), 2];
        let trial: string | undefined;
        for (const action of steps) {
          if (action === 'install') {
            // The agent installs only from a version that works.
            if (slots.version(running) !== good) continue;
            trial = `v${next++}`;
            slots.markInstalled(other(running), trial);
          } else if (action === 'commit') {
            if (slots.state.trial !== 'begun') continue;
            slots.commit(running);
            good = slots.version(running) ?? '';
            trial = undefined;
          } else if (action === 'abandon') {
            slots.abandon();
            trial = undefined;
          } else {
            if (action === 'power loss') slots = new Slots(directory, 'v1');
            running = slots.boot();
            const version = slots.version(running);
            expect([good, trial]).toContain(version);
            if (version === good) trial = undefined;
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("a device's outbox", () => {
  it('keeps over a restart what the broker has not acknowledged, in order', () => {
    const outbox = new Outbox(directory);
    const [first] = [outbox.add('t', '1'), outbox.add('t', '2'), outbox.add('t', '3')];
    outbox.remove(first.id);
    expect(new Outbox(directory).waiting.map((entry) => entry.payload)).toEqual(
      expect.arrayContaining(['2', '3']),
    );
  });

  it('survives a line that was cut off by a power loss', () => {
    writeFileSync(join(directory, 'outbox.jsonl'), '{"id":1,"topic":"t","payload":"1"}\n{"id":2,"to');
    expect(new Outbox(directory).waiting.map((entry) => entry.payload)).toEqual(['1']);
  });
});
