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
const OFFERS_PER_MINUTE = 800;
const MORE_KILLS = 3;
/** As long as that Mosquitto may have in its memory only what it has acknowledged: it saves every two seconds. */
const IN_MEMORY_MS = 3000;
/** What was acknowledged so long ago should have arrived; on a machine that is busy it takes its time. */
const ON_ITS_WAY_MS = 1000;
const ARRIVAL_MS = 120_000;

export interface StormOptions extends Pick<PlatformOptions, 'broker' | 'bridges'> {
  mqtt: 4 | 5;
  /** Killed once each, and some of them once more. */
  parts: readonly string[];
}

export interface Storm {
  sky: Skylark;
  ledger: Ledger;
  devices: readonly NumberedDevice[];
  kills: readonly Kill[];
  /** Those that may have cost what the broker had acknowledged: of Mosquitto. The embedded broker forgets nothing. */
  excuses: readonly Kill[];
  /** Commands the API has accepted meanwhile. */
  accepted: readonly Accepted[];
  campaignId: string;
  stop(): Promise<void>;
}

/** Plays it. When it returns, everything has been killed and runs again, and all that was said is acknowledged. */
export async function playStorm(options: StormOptions): Promise<Storm> {
  const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 1_000_000);
  const random = seeded(seed);
  const parts = [...shuffled(options.parts, random), ...shuffled(options.parts, random).slice(0, MORE_KILLS)];
  console.log(`FAULTS_SEED=${seed}: kills ${parts.join(', ')}`);
  const sky = await startSkylark({ supervise: true, ...options });
  const devices: NumberedDevice[] = [];
  const excuses = (kills: readonly Kill[]) =>
    options.broker === 'mosquitto' ? kills.filter(({ part }) => part === 'broker') : [];
  const ledger = new Ledger(sky.facts.database_url);
  const close = async () => {
    await ledger.close();
    await Promise.all(devices.map((device) => device.close()));
    await sky.stop();
  };
  try {
    devices.push(...(await connectDevices(sky, options)));
    const campaignId = await startCampaign(sky);
    for (const device of devices) device.speak(random());
    const commands = new Commands(
      sky,
      devices.map(({ serial }) => serial),
    );
    const kills = await killInTurn(sky.platform, parts, random, (before) =>
      arrived({ ledger, devices, kills: before, excuses: excuses(before) }),
    ).finally(() => commands.stop());
    await Promise.all(devices.map((device) => device.update.over));
    await Promise.all(devices.map((device) => device.fallSilent()));
    const { accepted } = commands;
    return { sky, ledger, devices, kills, excuses: excuses(kills), accepted, campaignId, stop: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Every device, known to Skylark by its first heartbeat. */
async function connectDevices(
  sky: Skylark,
  { mqtt: version, bridges = 1 }: StormOptions,
): Promise<NumberedDevice[]> {
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
  // Nobody knows it yet. With several bridges the heartbeat that registers it may come by another one, and later.
  if (bridges === 1) for (const device of devices) device.notify();
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

type Heard = Pick<Storm, 'ledger' | 'devices' | 'kills' | 'excuses'>;

/** Waits until nothing is on its way for long, and answers since when: what was acknowledged before has arrived. */
async function arrived(storm: Heard): Promise<number> {
  return eventually(
    'everything that was said to arrive',
    async () => {
      const since = Date.now() - ON_ITS_WAY_MS;
      return (await missing(storm, since)).lost.length === 0 && since;
    },
    ARRIVAL_MS,
  );
}

/**
 * The acknowledged messages that the ledger lacks, of those acknowledged before some time: those for which there is no
 * excuse, and those for which there is.
 */
export async function missing(
  { ledger, devices, kills, excuses }: Heard,
  before = Number.POSITIVE_INFINITY,
): Promise<{ lost: string[]; excused: string[] }> {
  const known = await ledger.messages();
  const [lost, excused]: [string[], string[]] = [[], []];
  for (const { serial, said } of devices) {
    const isThere = (one: Said) => known.has(nameOf(serial, one));
    for (const one of said) {
      const { acknowledgedAt = Number.POSITIVE_INFINITY } = one;
      if (acknowledgedAt >= before || isThere(one)) continue;
      const repaired = said.some(
        (later) => later.subject === one.subject && later.n > one.n && isThere(later),
      );
      const list = repaired && diedWithBroker(acknowledgedAt, excuses) ? excused : lost;
      list.push(`${nameOf(serial, one)}, acknowledged ${relativeTo(acknowledgedAt, kills)}`);
    }
  }
  return { lost, excused };
}

/** The accepted commands that their devices did not get: those for which there is no excuse, and those for which there is. */
export function unheard({ accepted, devices, kills, excuses }: Storm): { lost: string[]; excused: string[] } {
  const bySerial = new Map(devices.map((device) => [device.serial, device]));
  const [lost, excused]: [string[], string[]] = [[], []];
  for (const command of accepted) {
    const { id, serial, at } = command;
    const device = bySerial.get(serial);
    if (device === undefined || device.heard.has(id)) continue;
    const list = excuses.some((kill) => isAround(kill, command, device)) ? excused : lost;
    list.push(`${serial} ${id}, accepted ${relativeTo(at, kills)}`);
  }
  return { lost, excused };
}

/** Whether a broker had the command in its memory when it was killed, or did not know the device's session after that. */
function isAround({ at }: Kill, command: Accepted, { listening }: NumberedDevice): boolean {
  const again = listening.find((since) => since > at) ?? Number.POSITIVE_INFINITY;
  return command.at > at - IN_MEMORY_MS && command.asked < again;
}

/** When that was, for whoever looks for what went wrong. */
function relativeTo(at: number, kills: readonly Kill[]): string {
  const last = kills.findLast((kill) => kill.at <= at);
  return last === undefined ? 'before any kill' : `${at - last.at} ms after the kill of ${last.part}`;
}

/** Whether a broker was killed while it may have had the message in its memory only: it had not arrived before. */
const diedWithBroker = (acknowledgedAt: number, kills: readonly Kill[]): boolean =>
  kills.some(
    ({ since, at, until }) => acknowledgedAt >= Math.min(since, at - IN_MEMORY_MS) && acknowledgedAt < until,
  );
