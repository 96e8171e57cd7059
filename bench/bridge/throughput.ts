/** How fast heartbeats pass through a bridge that acknowledges each only when it is durable. */
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { ingestBatch } from '../../protocol/bridge.ts';
import { startSkylark } from '../../test/skylark.ts';
import { type Bench, compare, type Result } from '../compare.ts';
import { BrokerFeed } from './broker-feed.ts';
import { heartbeat } from './heartbeats.ts';
import { type Edge, type Feed, startRig } from './rig.ts';
import { type Commit, Sink } from './sink.ts';
import { Source } from './source.ts';

const unpack = promisify(gunzip);
const DELAY_MS = 20;

interface Road {
  /** What the bridge reads from. */
  feed: () => Promise<Feed>;
  messages: number;
}
const broker: Road = { feed: () => BrokerFeed.start(heartbeat), messages: 30_000 };
/** No broker's speed, so the bridge's own. */
const wire: Road = { feed: () => Source.start(heartbeat), messages: 100_000 };

/** Messages a second with this edge ÷ with one that answers at once and keeps nothing. */
async function against(name: string, edge: Edge, { feed, messages }: Road): Promise<Result> {
  const nothing = await new Sink().open();
  const [side, baseline] = [await startRig(await feed(), edge), await startRig(await feed(), nothing)];
  const pass = () => side.feed.pass(messages);
  try {
    return await compare(name, '≥ 0.9', 'messages/s', pass, () => baseline.feed.pass(messages));
  } finally {
    await Promise.all([side.close(), baseline.close()]);
    nothing.close();
  }
}

async function withSink<Value>(commit: Commit, work: (sink: Sink) => Promise<Value>): Promise<Value> {
  const sink = await new Sink(commit).open();
  try {
    return await work(sink);
  } finally {
    sink.close();
  }
}

/** Unpacks, checks and writes each batch, and answers when it is on the disk. */
async function onDisk<Value>(work: (commit: Commit) => Promise<Value>): Promise<Value> {
  const directory = mkdtempSync(join(tmpdir(), 'skylark-bench-'));
  const file = await open(join(directory, 'batches'), 'a');
  try {
    return await work(async (body) => {
      const batch = ingestBatch.parse(JSON.parse((await unpack(body)).toString()));
      await file.appendFile(JSON.stringify(batch));
      await file.datasync();
    });
  } finally {
    await file.close();
    rmSync(directory, { recursive: true });
  }
}

async function atTheEdge(): Promise<Result> {
  const sky = await startSkylark();
  try {
    const edge = { url: sky.facts.url, token: sky.facts.bridge_token };
    return await against(
      'heartbeats acknowledged when the edge and PostgreSQL have them ÷ when nobody keeps them',
      edge,
      broker,
    );
  } finally {
    await sky.stop();
  }
}

export const bridgeBench: Bench = async () => [
  await onDisk((commit) =>
    withSink(commit, (disk) =>
      against('heartbeats acknowledged when they are on a disk ÷ when nobody keeps them', disk, broker),
    ),
  ),
  await atTheEdge(),
  ...(await withSink(
    () => wait(DELAY_MS),
    async (late) => [
      await against(`a sink ${DELAY_MS} ms slower ÷ one that answers at once`, late, broker),
      await against('the same, with no broker in between to be waited for', late, wire),
    ],
  )),
];
