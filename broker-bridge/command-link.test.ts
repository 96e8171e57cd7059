import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { disconnectTopic } from '../protocol/bridge.ts';
import { CommandLink } from './command-link.ts';
import { TestEdge } from './test-edge.ts';

const command = (n: number) => ({ id: String(n), topic: 'devices/D1/command', payload: `{"n":${n}}` });

describe('the road down', () => {
  let edge = new TestEdge();
  let link: CommandLink | undefined;
  let published: { topic: string; acknowledge: () => void; refuse: () => void }[] = [];
  let failed = 0;

  const open = async (pingMs?: number) => {
    const url = await edge.listen();
    link = new CommandLink(
      { url, token: 'a-token-of-16-chars', bridgeId: 'b1' },
      {
        publish: (topic) =>
          new Promise((resolve, reject) => {
            published.push({
              topic,
              acknowledge: resolve,
              refuse: () => reject(new Error('not authorised')),
            });
            edge.wake();
          }),
        changed: () => edge.wake(),
        failed: () => {
          failed += 1;
          edge.wake();
        },
      },
      pingMs,
    );
    link.open();
    await edge.until('the link', () => edge.links.length === 1 && link?.connected === true);
    return link;
  };

  beforeEach(() => {
    edge = new TestEdge();
    [published, failed] = [[], 0];
  });
  afterEach(() => {
    link?.close();
    edge.close();
  });

  it('confirms a command only when the broker has it', async () => {
    await open();
    edge.send({ type: 'publish', messages: [1, 2, 3].map(command) });
    await edge.until('three publications', () => published.length === 3);
    expect(edge.confirmed).toEqual([]);
    published[0]?.acknowledge();
    published[1]?.acknowledge();
    await edge.until('two confirmations', () => edge.confirmed.length === 2);
    expect(edge.confirmed).toEqual(['1', '2']);
  });

  it('does not publish a second time what is still under way', async () => {
    await open();
    edge.send({ type: 'publish', messages: [command(1)] });
    edge.send({ type: 'publish', messages: [command(1), command(2)] });
    await edge.until('two publications', () => published.length === 2);
    for (const { acknowledge } of published) acknowledge();
    await edge.until('confirmations', () => edge.confirmed.length === 2);
    expect(edge.confirmed).toEqual(['1', '2']);
  });

  it('is not blocked by a command the broker refuses', async () => {
    await open();
    edge.send({ type: 'publish', messages: [1, 2].map(command) });
    await edge.until('publications', () => published.length === 2);
    published[0]?.refuse();
    published[1]?.acknowledge();
    await edge.until('a confirmation and a failure', () => edge.confirmed.length === 1 && failed === 1);
    expect(edge.confirmed).toEqual(['2']);
  });

  it('has the broker end the session of a revoked device', async () => {
    await open();
    edge.send({ type: 'disconnect', serial_nos: ['D7'] });
    await edge.until('a publication', () => published.length === 1);
    expect(published[0]?.topic).toBe(disconnectTopic('D7'));
  });

  it('comes up again after the edge was away', async () => {
    const opened = await open();
    edge.close();
    await edge.until('the end of the link', () => !opened.connected);
    await edge.listen();
    await edge.until('the link again', () => opened.connected);
    edge.send({ type: 'publish', messages: [command(1)] });
    await edge.until('a publication', () => published.length === 1);
  });

  it('is left for a new one when nobody answers a ping any more', async () => {
    await open(20);
    edge.alive = false;
    const [first] = edge.links;
    await edge.until('another link', () => edge.links.some((socket) => socket !== first));
  });

  it('survives whatever is sent down', async () => {
    const opened = await open();
    for (const text of ['', '{', '{"type":"dance"}', '[]']) {
      edge.links[0]?.write(Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]));
    }
    edge.send({ type: 'publish', messages: [command(1)] });
    await edge.until('a publication', () => published.length === 1);
    expect(opened.connected).toBe(true);
  });
});
