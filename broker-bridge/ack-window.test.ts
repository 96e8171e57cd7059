import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AckWindow, type Held, settleAll } from './ack-window.ts';

function holdIn(window: AckWindow, packetId: number | undefined, bytes = 1): Held {
  const held = window.hold(packetId, bytes, 0);
  if (held === undefined) throw new Error(`packet ${packetId} is held already`);
  return held;
}

describe('acknowledgements', () => {
  it('come in the order of arrival, each once, never before the message is durable, whatever finishes first', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ finishes: fc.nat(), qos: fc.nat(1) }), { maxLength: 60 }),
        (arrivals) => {
          const acknowledged: number[] = [];
          const durable = new Set<number>();
          const window = new AckWindow((ids) => {
            for (const id of ids) expect(durable.has(id)).toBe(true);
            acknowledged.push(...ids);
          });
          const held = arrivals.map(({ qos }, id) => holdIn(window, qos === 1 ? id : undefined, id));
          const finishing = held
            .map((h, i) => [arrivals[i]?.finishes ?? 0, h] as const)
            .sort(([a], [b]) => a - b);
          for (const [, h] of finishing) {
            if (h.packetId !== undefined) durable.add(h.packetId);
            window.settle([h]);
          }
          expect(acknowledged).toEqual(arrivals.flatMap(({ qos }, id) => (qos === 1 ? [id] : [])));
          expect([window.size, window.bytes, window.oldest]).toEqual([0, 0, undefined]);
        },
      ),
    );
  });

  it('of a connection that is gone never reach the next one, in whatever order things happen', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant('arrive' as const) },
      { weight: 3, arbitrary: fc.nat() },
      { weight: 1, arbitrary: fc.constant('reconnect' as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const log: { connection: number; ids: number[] }[] = [];
        const open: Held[] = [];
        let connection = -1;
        let window = new AckWindow(() => undefined);
        let nextId = 0;
        const arrived: number[][] = [];
        const reconnect = () => {
          connection += 1;
          const own = connection;
          window = new AckWindow((ids) => log.push({ connection: own, ids }));
          // The broker counts packet ids from 1 again: the same number, another message.
          nextId = 1;
          arrived.push([]);
        };
        reconnect();
        for (const what of [...steps, ...steps.map((_, n) => n)]) {
          if (what === 'reconnect') reconnect();
          else if (what === 'arrive') {
            open.push(holdIn(window, nextId));
            arrived[connection]?.push(nextId);
            nextId += 1;
          } else settleAll(open.splice(what % Math.max(1, open.length), 3));
        }
        settleAll(open);
        for (const [own, ids] of arrived.entries()) {
          expect(log.filter((l) => l.connection === own).flatMap((l) => l.ids)).toEqual(ids);
        }
      }),
    );
  });

  it('stop at the first message that is not durable', () => {
    const acknowledged: number[] = [];
    const window = new AckWindow((ids) => acknowledged.push(...ids));
    const [a, b, c] = [holdIn(window, 7), holdIn(window, 8), holdIn(window, 9)];
    window.settle([b, c]);
    expect([acknowledged, window.size]).toEqual([[], 3]);
    window.settle([a]);
    expect(acknowledged).toEqual([7, 8, 9]);
  });

  it('are given once where the broker repeats itself, and again when it uses the packet id for the next message', () => {
    const acknowledged: number[] = [];
    const window = new AckWindow((ids) => acknowledged.push(...ids));
    const first = holdIn(window, 7);
    expect(window.hold(7, 1, 0)).toBeUndefined();
    window.settle([first]);
    window.settle([holdIn(window, 7)]);
    expect(acknowledged).toEqual([7, 7]);
  });
});
