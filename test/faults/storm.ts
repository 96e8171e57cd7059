/** Two hundred devices under way in a campaign, while part after part is killed; then quiet. */
import type { PlatformOptions } from '../../local/platform.ts';
import { publishFirmware } from '../publish.ts';
import { eventually, type Skylark, startSkylark } from '../skylark.ts';
import { openSigner } from './certificates.ts';
import { type Accepted, Commands } from './commands.ts';
import { type Kill, killInTurn } from './kills.ts';
import { Ledger, nameOf } from './ledger.ts';
import { NumberedDevice, type Said } from './numbered-device.ts';
import { seeded, shuffled } from './random.ts';
import type { Fate } from './update.ts';

const DEVICES = 200;
const MODEL = 'TX-100';
/** How the updates end: of ten devices two differ. */
const FATES: readonly Fate[] = [...Array<Fate>(8).fill('completed'), 'rollback', 'installing'];
/** Offers go out over most of the time of the storm. */
const OFFERS_PER_MINUTE = 600;
/** As long as that a broker may keep in memory only what it has acknowledged; Mosquitto saves every two seconds. */
const IN_MEMORY_MS = 3000;
/** By then every device is back at a broker that was killed. */
const RECONNECTED_MS = 3000;

export interface StormOptions extends Pick<PlatformOptions, 'broker' | 'bridges'> {
  mqtt: 4 | 5;
  /** Killed twice each. */
  parts: readonly string[];
}

export interface Storm {
  sky: Skylark;
  ledger: Ledger;
  devices: readonly NumberedDevice[];
  kills: readonly Kill[];
  /** Commands the API has accepted meanwhile. */
  accepted: readonly Accepted[];
  campaignId: string;
  stop(): Promise<void>;
}

/** Plays it. When it returns, everything has been killed and runs again, and all that was said is acknowledged. */
export async function playStorm(options: StormOptions): Promise<Storm> {
  const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 1_000_000);
  const random = seeded(seed);
  const parts = [...shuffled(options.parts, random), ...shuffled(options.parts, random)];
  console.log(`FAULTS_SEED=${seed}: kills ${parts.join(', ')}`);
  const sky = await startSkylark({ supervise: true, ...options });
  const devices: NumberedDevice[] = [];
  const close = async () => {
    await Promise.all(devices.map((device) => device.close()));
    await sky.stop();
  };
  try {
    devices.push(...(await connectDevices(sky, options.mqtt)));
    const campaignId = await startCampaign(sky);
    for (const device of devices) device.speak(random());
    const commands = new Commands(
      sky,
      devices.map(({ serial }) => serial),
    );
    const kills = await killInTurn(sky.platform, parts, random).finally(() => commands.stop());
    await Promise.all(devices.map((device) => device.update.over));
    await Promise.all(devices.map((device) => device.fallSilent()));
    const ledger = await Ledger.open(sky.facts.database_url);
    const stop = async () => {
      await ledger.close();
      await close();
    };
    return { sky, ledger, devices, kills, accepted: commands.accepted, campaignId, stop };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Every device, known to Skylark by its first heartbeat. */
async function connectDevices(sky: Skylark, version: 4 | 5): Promise<NumberedDevice[]> {
  const sign = await openSigner(sky.facts.mqtt.ca_file);
  const devices = await Promise.all(
    Array.from({ length: DEVICES }, async (_, i) => {
      const serial = `STORM-${String(i).padStart(3, '0')}`;
      const certificate = await sign(serial);
      const fate = FATES[i % FATES.length] ?? 'completed';
      return new NumberedDevice({
        url: sky.facts.mqtt.url,
        version,
        serial,
        model: MODEL,
        certificate,
        fate,
      });
    }),
  );
  await Promise.all(devices.map((device) => device.start()));
  await eventually('every device to be known', async () => {
    const { body } = await sky.api('GET', '/devices?limit=200&status=online');
    return (body.items as unknown[]).length === DEVICES;
  });
  return devices;
}

async function startCampaign(sky: Skylark): Promise<string> {
  const { id: firmware_id } = await publishFirmware(sky, 'v2.0.0', { model: MODEL });
  const { body } = await sky.api('POST', '/campaigns', {
    name: 'storm',
    firmware_id,
    stages: [{ name: 'all', percentage: 100 }],
    failure_threshold: 100,
    rate_per_minute: OFFERS_PER_MINUTE,
  });
  const started = await sky.api('POST', `/campaigns/${body.id}/start`);
  if (started.status !== 200) throw new Error(`the campaign did not start: ${JSON.stringify(started.body)}`);
  return String(body.id);
}

/** The acknowledged messages that the ledger lacks: those for which there is no excuse, and those for which there is. */
export async function missing({
  ledger,
  devices,
  kills,
}: Storm): Promise<{ lost: string[]; excused: string[] }> {
  const known = await ledger.messages();
  const [lost, excused]: [string[], string[]] = [[], []];
  for (const { serial, said } of devices) {
    const isThere = (one: Said) => known.has(nameOf(serial, one));
    for (const one of said) {
      if (one.acknowledgedAt === undefined || isThere(one)) continue;
      const repaired = said.some(
        (later) => later.subject === one.subject && later.n > one.n && isThere(later),
      );
      const list = repaired && diedWithBroker(one.acknowledgedAt, kills) ? excused : lost;
      list.push(`${nameOf(serial, one)}, acknowledged ${relativeTo(one.acknowledgedAt, kills)}`);
    }
  }
  return { lost, excused };
}

/** The accepted commands that their devices did not get: those for which there is no excuse, and those for which there is. */
export function unheard({ accepted, devices, kills }: Storm): { lost: string[]; excused: string[] } {
  const heard = new Map(devices.map((device) => [device.serial, device.heard]));
  const [lost, excused]: [string[], string[]] = [[], []];
  for (const { id, serial, at } of accepted) {
    if (heard.get(serial)?.has(id)) continue;
    const list = kills.some((kill) => isAround(kill, at)) ? excused : lost;
    list.push(`${serial} ${id}, accepted ${relativeTo(at, kills)}`);
  }
  return { lost, excused };
}

/** Whether a broker had the command in its memory when it was killed, or forgot whose sessions it had. */
const isAround = ({ part, at, until }: Kill, moment: number): boolean =>
  part === 'broker' && moment > at - IN_MEMORY_MS && moment < until + RECONNECTED_MS;

/** When that was, for whoever looks for what went wrong. */
function relativeTo(at: number, kills: readonly Kill[]): string {
  const last = kills.findLast((kill) => kill.at <= at);
  return last === undefined ? 'before any kill' : `${at - last.at} ms after the kill of ${last.part}`;
}

/**
 * Whether a broker was killed with the message perhaps only in its memory: not on its disk yet, or, while the part
 * killed before was not back, on its way no further than to a bridge.
 */
const diedWithBroker = (acknowledgedAt: number, kills: readonly Kill[]): boolean =>
  kills.some(({ part, at, until }, i) => {
    const since = Math.min(at - IN_MEMORY_MS, kills[i - 1]?.at ?? at);
    return part === 'broker' && acknowledgedAt > since && acknowledgedAt < until;
  });
