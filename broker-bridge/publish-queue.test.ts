import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PublishQueue } from './publish-queue.ts';

describe('commands', () => {
  it('go out in order, no more at a time than the broker takes, whatever it answers first', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.nat(), { maxLength: 40 }),
        async (limit, picks) => {
          const sent: string[] = [];
          const open: (() => void)[] = [];
          const queue = new PublishQueue((_topic, payload) => {
            sent.push(payload);
            return new Promise((resolve) => open.push(resolve));
          }, 100);
          queue.limit(limit);
          const done = picks.map((_, n) => queue.add('t', String(n)));
          for (const pick of picks) {
            expect(open.length).toBeLessThanOrEqual(limit);
            open.splice(pick % open.length, 1)[0]?.();
            await new Promise(setImmediate);
          }
          await Promise.all(done);
          expect(sent).toEqual(picks.map((_, n) => String(n)));
        },
      ),
      { numRuns: 30 },
    );
  });

  it('that the broker refuses do not stop the others', async () => {
    const queue = new PublishQueue(async (_topic, payload) => {
      if (payload === 'bad') throw new Error('refused');
    }, 1);
    const results = await Promise.allSettled(['a', 'bad', 'b'].map((payload) => queue.add('t', payload)));
    expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('are given back when the connection is gone', async () => {
    const queue = new PublishQueue(() => new Promise(() => undefined), 1);
    const all = [queue.add('t', 'under way'), queue.add('t', 'waiting')];
    queue.close(new Error('gone'));
    const results = await Promise.allSettled([...all, queue.add('t', 'too late')]);
    expect(results.map((r) => r.status)).toEqual(['rejected', 'rejected', 'rejected']);
  });
});
