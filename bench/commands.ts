/** From the API to a device: a command's way through edge and bridge, against the broker's part of it alone. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { commandTopic } from '../protocol/topics.ts';
import { openSigner } from '../test/faults/certificates.ts';
import { eventually, type Skylark, startSkylark } from '../test/skylark.ts';
import { addFleet, startCampaign } from './campaigns/fleet.ts';
import { type Bench, compare, quantile, type Result } from './compare.ts';

const DEVICE = 'PROBE-1';
const IN_FLIGHT = 10_000;
/** Commands for one 95th percentile. */
const COMMANDS = 100;

/** A device that notes when it gets which command. */
class Probe {
  readonly #client: MqttClient;
  readonly #got = new Map<string, number>();
  readonly #waiting = new Map<string, (at: number) => void>();

  constructor(client: MqttClient) {
    this.#client = client;
    client.on('message', (_topic, payload) => {
      const { command_id } = JSON.parse(payload.toString());
      const at = performance.now();
      this.#got.set(command_id, at);
      this.#waiting.get(command_id)?.(at);
    });
  }

  static async start({ facts }: Skylark): Promise<Probe> {
    const { cert, key, ca } = await (await openSigner(facts.mqtt.ca_file))(DEVICE);
    const probe = new Probe(await connectAsync(facts.mqtt.url, { ...WIRE, clientId: DEVICE, cert, key, ca }));
    await probe.#client.subscribeAsync(commandTopic(DEVICE), { qos: 1 });
    return probe;
  }

  /** Resolves with the time. */
  async got(commandId: string): Promise<number> {
    return this.#got.get(commandId) ?? new Promise((resolve) => this.#waiting.set(commandId, resolve));
  }

  async close(): Promise<void> {
    await this.#client.endAsync();
  }
}

const WIRE = { protocolVersion: 4, reconnectPeriod: 0 } as const;

/** Has a command sent; answers its id. */
type Send = (n: number) => Promise<string>;

export const commandsBench: Bench = async () => {
  const sky = await startSkylark({ workerEntry: 'bench/worker.ts' });
  await addFleet(sky, 'PROBE', 1);
  const probe = await Probe.start(sky);
  const publisher = await connectPublisher(sky);
  const throughApi: Send = async () => {
    const { body } = await sky.api('POST', `/devices/${DEVICE}/commands`, { command: 'reboot' });
    return String(body.command_id);
  };
  const throughBroker: Send = async (n) => {
    const command_id = `raw-${n}-${performance.now()}`;
    const payload = JSON.stringify({ command: 'reboot', command_id });
    await publisher.publishAsync(commandTopic(DEVICE), payload, { qos: 1 });
    return command_id;
  };
  // What being durable costs, and two more programs on the way.
  const throughOutbox: Send = async () => {
    const response = await fetch(`${sky.facts.url}/bench/outbox/${DEVICE}`, { method: 'POST' });
    return String(((await response.json()) as { command_id: unknown }).command_id);
  };
  try {
    return [
      await compare(
        "a command's 95th percentile from the API to the device ÷ from publisher to subscriber at the broker",
        '≤ 5',
        'ms',
        async () => quantile(await times(probe, throughApi), 0.95),
        async () => quantile(await times(probe, throughBroker), 0.95),
      ),
      await compare(
        'the same of a Worker that only puts it into the outbox',
        'none',
        'ms',
        async () => quantile(await times(probe, throughOutbox), 0.95),
        async () => quantile(await times(probe, throughBroker), 0.95),
      ),
      await whileInFlight(sky, () => times(probe, throughApi)),
    ];
  } finally {
    await Promise.all([probe.close(), publisher.endAsync()]);
    await sky.stop();
  }
};

/** With the bridge's rights, and without its subscriptions. */
function connectPublisher({ facts }: Skylark): Promise<MqttClient> {
  const { ca_file } = facts.mqtt;
  const file = (name: string) => readFileSync(join(dirname(ca_file), name));
  return connectAsync(facts.mqtt.url, {
    ...WIRE,
    clientId: 'bench-publisher',
    ca: readFileSync(ca_file),
    cert: file('bridge.pem'),
    key: file('bridge.key.pem'),
  });
}

/** Milliseconds from asking to having, one command after the other. */
async function times(probe: Probe, send: Send): Promise<number[]> {
  const taken: number[] = [];
  for (let n = 0; n < COMMANDS; n += 1) {
    const asked = performance.now();
    taken.push((await probe.got(await send(n))) - asked);
  }
  return taken;
}

/** While a campaign offers its update to many, and when all of them have it before them. */
async function whileInFlight(sky: Skylark, probing: () => Promise<number[]>): Promise<Result> {
  await addFleet(sky, 'FLIGHT', IN_FLIGHT);
  const id = await startCampaign(sky, 'FLIGHT');
  let taken: number[] = [];
  const offered = async () => {
    taken = [...taken, ...(await probing())];
    const { body } = await sky.api('GET', `/campaigns/${id}/metrics`);
    const { counts } = body as { counts: { offered: number } };
    return counts.offered === IN_FLIGHT;
  };
  await eventually('all to be offered the update', offered, 120_000);
  taken = [...taken, ...(await probing())];
  const seconds = quantile(taken, 0.95) / 1000;
  return {
    name: `a command's 95th percentile from the API to the device, with ${IN_FLIGHT.toLocaleString('en')} others on their way or not yet done, in seconds`,
    goal: '< 1',
    ratio: seconds,
    measured: `${(seconds * 1000).toFixed(0)} ms, at most ${Math.max(...taken).toFixed(0)} ms`,
    baseline: `${taken.length} commands`,
  };
}
