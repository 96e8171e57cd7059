/** What waits while the edge is away, and how fast it goes when the edge is back: none of it lost. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { type Skylark, startSkylark } from '../../test/skylark.ts';
import type { Bench, Result } from '../compare.ts';
import { DEVICES, heartbeat, newsOf, serialOf } from './heartbeats.ts';
import { keepPace } from './pace.ts';
import { startRig } from './rig.ts';
import { Source } from './source.ts';

/** A million devices, a heartbeat each 5 minutes. */
const PER_SECOND = 3333;
/** A few times as long as a bridge collects. */
const STEADY_S = 20;
const OUTAGE_MS = 30_000;

/** The road to the edge, which can be cut. */
class Road {
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  constructor(target: string) {
    this.#target = new URL(target);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async open(): Promise<this> {
    const server = createServer((socket) => {
      const far = connect(Number(this.#target.port), this.#target.hostname);
      for (const [one, other] of [
        [socket, far],
        [far, socket],
      ] as const) {
        this.#sockets.add(one);
        one.on('error', () => undefined);
        one.on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    this.#server = server;
    return this;
  }

  cut(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export const outageBench: Bench = async () => {
  const sky = await startSkylark();
  const road = await new Road(sky.facts.url).open();
  const edge = { url: road.url, token: sky.facts.bridge_token };
  const { feed, close } = await startRig(await Source.start(heartbeat), edge);
  let stop = () => {};
  try {
    // All of them are known, as they are in the field.
    feed.add(DEVICES);
    await feed.reached(DEVICES);
    stop = keepPace(feed, PER_SECOND);
    await feed.reached(DEVICES + PER_SECOND);
    const steady = await rate(feed, () => feed.reached(feed.due + STEADY_S * PER_SECOND));
    road.cut();
    await wait(OUTAGE_MS);
    await road.open();
    const drain = await rate(feed, () => caughtUp(feed));
    stop();
    await feed.reached(feed.due);
    return [drained(drain, steady), await lost(sky, feed.due)];
  } finally {
    stop();
    await close();
    road.cut();
    await sky.stop();
  }
};

/** Acknowledged in a second, while that lasts. */
async function rate(feed: Source, lasts: () => Promise<unknown>): Promise<number> {
  const [before, started] = [feed.acknowledged, performance.now()];
  await lasts();
  return (feed.acknowledged - before) / ((performance.now() - started) / 1000);
}

/** Resolves when nothing waits at the broker any more; more comes all the time. */
async function caughtUp(feed: Source): Promise<void> {
  while (feed.sent < feed.due) await feed.reached(feed.acknowledged + 1);
}

const drained = (drain: number, steady: number): Result => ({
  name: `heartbeats a second after ${OUTAGE_MS / 1000} s without an edge, while more come ÷ before`,
  goal: '≥ 2',
  ratio: drain / steady,
  measured: `${drain.toFixed(0)} messages/s`,
  baseline: `${steady.toFixed(0)} messages/s, about as many as came`,
});

/** The news among them that PostgreSQL has not. */
async function lost({ facts }: Skylark, sent: number): Promise<Result> {
  const expected = new Map<string, string>();
  for (let n = 0; n < sent; n += 1) {
    const news = newsOf(n);
    if (news !== undefined) expected.set(serialOf(n), news);
  }
  const db = new Client({ connectionString: facts.database_url });
  await db.connect();
  const { rows } = await db.query<{ serial_no: string; power_state: string | null }>(
    'SELECT serial_no, power_state FROM devices',
  );
  await db.end();
  const there = new Map(rows.map((row) => [row.serial_no, row.power_state]));
  const missing = [...expected].filter(([serial, state]) => there.get(serial) !== state).length;
  return {
    name: 'of these, devices whose newest state PostgreSQL has not',
    goal: '0',
    ratio: missing,
    measured: `${missing} lost`,
    baseline: `${sent} heartbeats acknowledged, the news of ${expected.size} devices among them`,
  };
}
