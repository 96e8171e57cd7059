import { describe, expect, it } from 'vitest';
import { shardOf } from '../protocol/shards.ts';
import { AckWindow } from './ack-window.ts';
import type { Batch } from './batcher.ts';
import { newCounters } from './counters.ts';
import { Intake } from './intake.ts';

/** An intake whose deliveries the test finishes. */
function setUp() {
  const acknowledged: number[] = [];
  const window = new AckWindow((ids) => acknowledged.push(...ids));
  const deliveries: { batch: Batch; finish: () => void; fail: () => void }[] = [];
  const counters = newCounters();
  let wake = () => {};
  const intake = new Intake(
    (batch) =>
      new Promise((resolve, reject) => {
        deliveries.push({ batch, finish: resolve, fail: () => reject(new Error('stopped')) });
        wake();
      }),
    counters,
    () => wake(),
  );
  let packetId = 0;
  return {
    acknowledged,
    deliveries,
    counters,
    intake,
    take(topic: string, payload: string | Buffer) {
      packetId += 1;
      const held = window.hold(packetId, payload.length, Date.now());
      if (held !== undefined) intake.take(topic, Buffer.from(payload), held);
    },
    async until(holds: () => boolean) {
      while (!holds())
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    },
  };
}

const beat = (serial: string, n: number) =>
  JSON.stringify({ serial_no: serial, model: 'M', current_firmware: 'v1.0.0', timestamp: n });

describe('what comes from the broker', () => {
  it("goes out with one batch of a shard's lane at a time, so that a device's statuses keep their order", async () => {
    const { deliveries, take, until, acknowledged } = setUp();
    take('devices/D1/status', '0');
    await until(() => deliveries.length === 1);
    for (let n = 1; n <= 1100; n += 1) take('devices/D1/status', String(n));
    for (let sent = 1; sent <= 4; sent += 1) {
      await until(() => deliveries.length === sent);
      deliveries[sent - 1]?.finish();
    }
    await until(() => acknowledged.length === 1101);
    expect(deliveries.map(({ batch }) => batch.messages.length)).toEqual([1, 500, 500, 100]);
    const sent = deliveries.flatMap(({ batch }) => batch.messages.map((m) => Number(m.payload)));
    expect(sent).toEqual(Array.from({ length: 1101 }, (_, n) => n));
  });

  it("takes a device's heartbeat along that is under way but not durable, once", async () => {
    const { deliveries, take, intake, until } = setUp();
    take('devices/D1/heartbeat', beat('D1', 1));
    void intake.drain();
    await until(() => deliveries.length === 1);
    take('devices/D1/status', '1');
    await until(() => deliveries.length === 2);
    take('devices/D1/status', '2');
    deliveries[1]?.finish();
    await until(() => deliveries.length === 3);
    const said = deliveries.map(({ batch }) => batch.messages.map((m) => m.payload));
    expect(said).toEqual([[beat('D1', 1)], [beat('D1', 1), '1'], ['2']]);
  });

  it('does not wait behind heartbeats if it is a status, and is acknowledged in the order it came all the same', async () => {
    const { deliveries, take, until, acknowledged } = setUp();
    take('devices/D1/heartbeat', beat('D1', 1));
    take('devices/D1/status', 'status');
    take('devices/D1/notify', 'notify');
    await until(() => deliveries.length === 1);
    expect(deliveries[0]?.batch).toMatchObject({ lane: 'urgent', shard: shardOf('D1') });
    // The heartbeat may be the device's first, without which nobody knows it.
    const said = deliveries[0]?.batch.messages.map((m) => m.payload);
    expect(said).toEqual([beat('D1', 1), 'status', 'notify']);
    deliveries[0]?.finish();
    await until(() => deliveries.length === 2);
    expect(acknowledged).toEqual([]);
    deliveries[1]?.finish();
    await until(() => acknowledged.length === 3);
    expect(acknowledged).toEqual([1, 2, 3]);
  });

  it("is reduced to a device's newest heartbeat, and all of them are acknowledged", async () => {
    const { deliveries, take, until, acknowledged, counters } = setUp();
    for (let n = 1; n <= 50; n += 1) take('devices/D1/heartbeat', beat('D1', n));
    await until(() => deliveries.length === 1);
    expect(deliveries[0]?.batch.messages.map((m) => m.payload)).toEqual([beat('D1', 50)]);
    deliveries[0]?.finish();
    await until(() => acknowledged.length === 50);
    expect(counters).toMatchObject({ received: { heartbeat: 50 }, superseded: 49 });
  });

  it('goes out too if its topic is no device’s, and even if it only looks like a heartbeat', async () => {
    const { deliveries, take, until, counters } = setUp();
    take('devices/not a serial number/heartbeat', 'x');
    await until(() => deliveries.length === 1);
    expect(deliveries[0]?.batch.shard).toBe(0);
    expect(counters.received.other).toBe(1);
  });

  it('is not acknowledged if its delivery was stopped', async () => {
    const { deliveries, take, until, acknowledged, intake } = setUp();
    take('devices/D1/status', 'x');
    const drained = intake.drain();
    await until(() => deliveries.length === 1);
    deliveries[0]?.fail();
    await drained;
    expect(acknowledged).toEqual([]);
  });
});
