/** Device messages at the border: topic and payload checked against each other and their schemas. */
import { createHash } from 'node:crypto';
import type { ZodType } from 'zod';
import type { DeviceMessage } from '../../durable-objects/fleet-shard/messages.ts';
import { MAX_PAYLOAD_BYTES } from '../../protocol/bridge.ts';
import { heartbeat, notification, statusMessage } from '../../protocol/messages.ts';
import { parseUpTopic } from '../../protocol/topics.ts';

export type Parsed = { message: DeviceMessage } | { reason: string };

/** One message out of a batch, or why it cannot be taken. */
export function parseMessage(topic: string, payload: string, receivedAt: number): Parsed {
  const from = parseUpTopic(topic);
  if (from === undefined) return { reason: 'not the topic of a device' };
  if (Buffer.byteLength(payload) > MAX_PAYLOAD_BYTES)
    return { reason: `longer than ${MAX_PAYLOAD_BYTES} bytes` };
  const value = readJson(payload);
  if (value === undefined) return { reason: 'not JSON' };
  if (contradicts(value, from.serial_no)) return { reason: 'serial_no contradicts the topic' };
  const received = { serial_no: from.serial_no, received_at: receivedAt };
  if (from.channel === 'heartbeat')
    return check(heartbeat, value, (said) => ({ ...received, kind: 'heartbeat', heartbeat: said }));
  const single = { ...received, digest: digestOf(topic, payload) };
  if (from.channel === 'notify')
    return check(notification, value, (said) => ({ ...single, kind: 'notify', notification: said }));
  return check(statusMessage, value, (said) =>
    'campaign_id' in said ? { ...single, kind: 'report', report: said } : { ...single, kind: 'offline' },
  );
}

/** The same message always has the same digest; 128 bits are plenty to tell messages apart. */
export const digestOf = (topic: string, payload: string): string =>
  createHash('sha256').update(`${topic}\n${payload}`).digest('hex').slice(0, 32);

function check<Said>(schema: ZodType<Said>, value: unknown, take: (said: Said) => DeviceMessage): Parsed {
  const result = schema.safeParse(value);
  if (result.success) return { message: take(result.data) };
  const [issue] = result.error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  return { reason: `${where}${issue?.message ?? 'does not fit the schema'}` };
}

function contradicts(value: unknown, serialNo: string): boolean {
  if (typeof value !== 'object' || value === null || !('serial_no' in value)) return false;
  return value.serial_no !== serialNo;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
