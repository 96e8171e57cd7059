/** A bridge in a process of its own between something that feeds it and an edge, real or not. */
import { fork } from 'node:child_process';
import { once } from 'node:events';

/** Messages for a bridge, from the broker's side. */
export interface Feed {
  url: string;
  /** Sends that many and resolves when all are acknowledged: how many were in a second, first and last tenth left out. */
  pass(messages: number): Promise<number>;
  close(): void | Promise<void>;
}

/** The `n`th message. */
export type Message = (n: number) => { topic: string; payload: string };

export interface Edge {
  url: string;
  /** Any will do where the edge does not look. */
  token?: string;
}

export interface Rig<Feeding extends Feed> {
  feed: Feeding;
  /** Resident, in MB. */
  memory(): Promise<number>;
  close(): Promise<void>;
}

export const BRIDGE_ID = 'bench';

/** Starts a bridge; resolves when both its sides are connected. */
export async function startRig<Feeding extends Feed>(feed: Feeding, edge: Edge): Promise<Rig<Feeding>> {
  const child = fork(new URL('../../broker-bridge/main.ts', import.meta.url), {
    env: {
      PATH: process.env.PATH ?? '',
      MQTT_URL: feed.url,
      MQTT_VERSION: '4',
      EDGE_URL: edge.url,
      BRIDGE_TOKEN: edge.token ?? 'any-token-will-do',
      BRIDGE_ID,
      HEALTH_PORT: '0',
    },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  const ready = new Promise<{ health_port: number }>((resolve) => child.once('message', resolve));
  const died = exited.then(() => {
    throw new Error('the bridge did not start');
  });
  const { health_port } = await Promise.race([ready, died]);
  died.catch(() => undefined);
  return {
    feed,
    async memory() {
      const text = await (await fetch(`http://127.0.0.1:${health_port}/metrics`)).text();
      return Number(/^skylark_bridge_memory_bytes (\d+)$/m.exec(text)?.[1]) / 1e6;
    },
    async close() {
      if (child.connected) child.disconnect();
      await exited;
      await feed.close();
    },
  };
}
