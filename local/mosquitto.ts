/** Mosquitto 2 in the place of the embedded broker: MQTT 5, shared subscriptions, sessions that outlive it. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UP_CHANNELS } from '../protocol/topics.ts';
import { StartError } from './data.ts';
import { answersAt } from './external.ts';
import { type Part, startPart, within } from './part.ts';
import { onFreePort } from './ports.ts';
import type { Site } from './site.ts';
import { until } from './until.ts';

const PLACES = [
  'mosquitto',
  '/usr/sbin/mosquitto',
  '/usr/local/sbin/mosquitto',
  '/opt/homebrew/sbin/mosquitto',
];
const DEADLINE_MS = 30_000;

/** The program, where it is installed. */
export function findMosquitto(): string | undefined {
  return PLACES.find((path) => spawnSync(path, ['-h'], { stdio: 'ignore' }).error === undefined);
}

/** Starts it on the loopback interface; port 0 = any free one. Throws {@link StartError} where it is not installed. */
export async function startMosquitto(site: Site, port: number): Promise<Part & { port: number }> {
  const program = findMosquitto();
  if (program === undefined) throw new StartError('Mosquitto is not installed');
  return port === 0 ? onFreePort((free) => serve(program, site, free)) : serve(program, site, port);
}

async function serve(program: string, site: Site, port: number): Promise<Part & { port: number }> {
  const directory = join(site.data.path, 'mosquitto');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const [conf, acl] = [join(directory, 'mosquitto.conf'), join(directory, 'acl')];
  writeFileSync(acl, accessList(site));
  chmodSync(acl, 0o600);
  writeFileSync(conf, configuration(site, directory, acl, port));
  const part = startPart('broker', site.data.logs, program, ['-c', conf]);
  await within(
    DEADLINE_MS,
    'mosquitto',
    until(() => answersAt(port), 'Mosquitto to answer'),
    part,
  );
  return { ...part, port };
}

/**
 * A client is its certificate's CN. What waits for a bridge is kept, whatever its number; on disk after two seconds:
 * saved "on changes", messages under way to a bridge would not count as one.
 */
function configuration({ authority }: Site, directory: string, acl: string, port: number): string {
  return `${process.getuid?.() === 0 ? 'user root\n' : ''}listener ${port} 127.0.0.1
cafile ${authority.ca.certFile}
certfile ${authority.server.certFile}
keyfile ${authority.server.keyFile}
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file ${acl}
persistence true
persistence_location ${directory}/
autosave_interval 1
max_queued_messages 0
max_inflight_messages 4096
log_dest stderr
`;
}

function accessList({ authority }: Site): string {
  const own = UP_CHANNELS.map((channel) => `pattern write devices/%u/${channel}\n`);
  const all = UP_CHANNELS.map((channel) => `topic read devices/+/${channel}\n`);
  return `user ${authority.bridgeName}
${all.join('')}topic write devices/+/command
topic write $skylark/disconnect/+

${own.join('')}pattern read devices/%u/command
`;
}
