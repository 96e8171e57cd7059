import { env, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { linkDown } from '../../protocol/bridge.ts';
import type { Env } from '../env.ts';
import type { OutboxMessage } from './outbox.ts';

const worker = env as unknown as Env;
const message = (n: number, more: Partial<OutboxMessage> = {}): OutboxMessage => ({
  serial_no: 'D1',
  topic: 'devices/D1/command',
  payload: `{"n":${n}}`,
  expires_at: Date.now() + 60_000,
  ...more,
});

/** A bridge that collects what it is told to publish. */
async function connect(link: ReturnType<Env['BROKER_LINK']['getByName']>) {
  const { webSocket } = await link.fetch('https://x.example/bridge/link', {
    headers: { Upgrade: 'websocket' },
  });
  if (webSocket === null) throw new Error('no WebSocket');
  webSocket.accept();
  const queue: { id: string; payload: string }[] = [];
  let wake = () => {};
  webSocket.addEventListener('message', ({ data }) => {
    const said = linkDown.parse(JSON.parse(String(data)));
    if (said.type === 'publish') queue.push(...said.messages);
    wake();
  });
  return {
    async take(count: number) {
      while (queue.length < count)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return queue.splice(0, count);
    },
    confirm: (ids: string[]) => webSocket.send(JSON.stringify({ type: 'published', ids })),
    close: () => webSocket.close(),
  };
}

const waiting = async (link: ReturnType<Env['BROKER_LINK']['getByName']>, n: number) => {
  while ((await link.state()).waiting !== n) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe('the road down', () => {
  it('keeps commands until a bridge comes, and sends them in order', async () => {
    const link = worker.BROKER_LINK.getByName('order');
    await link.enqueue([1, 2, 3].map((n) => message(n)));
    const bridge = await connect(link);
    expect((await bridge.take(3)).map((m) => m.payload)).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
  });

  it('forgets a command only when the broker has it', async () => {
    const link = worker.BROKER_LINK.getByName('confirm');
    const bridge = await connect(link);
    await link.enqueue([message(1), message(2)]);
    const [first] = await bridge.take(2);
    bridge.confirm([first?.id ?? '']);
    await waiting(link, 1);
  });

  it('gives what a lost bridge did not confirm to the next one', async () => {
    const link = worker.BROKER_LINK.getByName('takeover');
    const lost = await connect(link);
    await link.enqueue([message(1)]);
    await lost.take(1);
    lost.close();
    const next = await connect(link);
    expect((await next.take(1))[0]?.payload).toBe('{"n":1}');
  });

  it('gives what a bridge that hangs did not confirm to another one', async () => {
    const link = worker.BROKER_LINK.getByName('hung');
    const bridges = [await connect(link), await connect(link)] as const;
    await link.enqueue([message(1)]);
    await bridges[0].take(1);
    // First one of them hangs, then the other.
    for (const hung of [0, 1]) {
      await runInDurableObject(link, (_object, state) => {
        for (const [n, socket] of state.getWebSockets().entries())
          socket.serializeAttachment(n === hung ? Date.now() - 31_000 : Date.now());
      });
      await runDurableObjectAlarm(link);
    }
    for (const bridge of bridges) expect((await bridge.take(1))[0]?.payload).toBe('{"n":1}');
  });

  it('sends nothing of a campaign that was withdrawn', async () => {
    const link = worker.BROKER_LINK.getByName('withdraw');
    await link.enqueue([message(1, { campaign_id: 'c' }), message(2)]);
    await link.withdraw('c');
    const bridge = await connect(link);
    expect((await bridge.take(1))[0]?.payload).toBe('{"n":2}');
  });
});
