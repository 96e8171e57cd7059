/** MQTT topic names: `devices/{serial_no}/{channel}`. */
import { serialNo } from './identifiers.ts';

/** Channels a device may publish to. */
export const UP_CHANNELS = ['heartbeat', 'status', 'notify'] as const;
export type UpChannel = (typeof UP_CHANNELS)[number];

/** The topic on which one device hears its commands. */
export const commandTopic = (serial: string): string => `devices/${serial}/command`;

/** The topic on which one device speaks. */
export const upTopic = (serial: string, channel: UpChannel): string => `devices/${serial}/${channel}`;

/** Who speaks on `topic` and what about, or `undefined` where it is no device's topic. */
export function parseUpTopic(topic: string): { serial_no: string; channel: UpChannel } | undefined {
  const [root, serial, channel, ...rest] = topic.split('/');
  if (root !== 'devices' || serial === undefined || rest.length > 0) return undefined;
  if (!serialNo.safeParse(serial).success || !isUpChannel(channel)) return undefined;
  return { serial_no: serial, channel };
}

function isUpChannel(text: string | undefined): text is UpChannel {
  return (UP_CHANNELS as readonly (string | undefined)[]).includes(text);
}
