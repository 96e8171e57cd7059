import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AckWindow } from './ack-window.ts';

describe('acknowledgements', () => {
  it('come in the order of arrival, each once, never before the message is durable, whatever finishes first', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 60 }), (order) => {
        const acknowledged: number[] = [];
        const durable = new Set<number>();
        const window = new AckWindow((ids) => {
          for (const id of ids) expect(durable.has(id)).toBe(true);
          acknowledged.push(...ids);
        });
        const held = order.map((_, id) => window.hold(id));
        const finishing = held.map((h, i) => [order[i] ?? 0, h] as const).sort(([a], [b]) => a - b);
        for (const [, h] of finishing) {
          durable.add(h.packetId);
          window.settle([h]);
        }
        expect(acknowledged).toEqual(order.map((_, id) => id));
        expect(window.size).toBe(0);
      }),
    );
  });

  it('stop at the first message that is not durable', () => {
    const acknowledged: number[] = [];
    const window = new AckWindow((ids) => acknowledged.push(...ids));
    const [a, b, c] = [window.hold(7), window.hold(8), window.hold(9)];
    window.settle([b, c]);
    expect([acknowledged, window.size]).toEqual([[], 3]);
    window.settle([a]);
    expect(acknowledged).toEqual([7, 8, 9]);
  });
});
