/** What can be done to a device, for the API and the pages alike. */
import type { Env } from '../../durable-objects/env.ts';
import type { Device } from '../../protocol/api.ts';
import type { Command } from '../../protocol/messages.ts';
import { shardOf } from '../../protocol/shards.ts';
import { commandTopic } from '../../protocol/topics.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { addEnrolmentToken, revokeCertificates } from '../../store/certificates.ts';
import { digestSecret, newSecret } from '../../store/credentials.ts';
import { requestConfig } from '../../store/device-configs.ts';
import { insertEvents } from '../../store/device-events.ts';
import { type DeviceRow, deleteDevice, deviceOf, revokeDevice } from '../../store/devices.ts';
import type { AppContext } from '../context.ts';

/** How long a command waits for a device before nobody wants it any more. */
const COMMAND_TTL_MS = 24 * 3_600_000;
const TOKEN_TTL_MS = 24 * 3_600_000;

export const shardFor = (env: Env, serialNo: string) =>
  env.FLEET_SHARD.getByName(`shard-${shardOf(serialNo)}`);

/** The device with what its shard knows better than the ledger: when it was last seen, to the second. */
export async function withPresence(c: AppContext, row: DeviceRow): Promise<Device> {
  const known = (await shardFor(c.env, row.serialNo).look([row.serialNo]))[row.serialNo];
  return deviceOf(row, known === undefined || known.last_seen === 0 ? undefined : new Date(known.last_seen));
}

/** Queues a command for a device; the answer is its `command_id`. */
export async function sendCommand(c: AppContext, device: DeviceRow, command: Command): Promise<void> {
  await c.env.BROKER_LINK.getByName('main').enqueue([
    {
      serial_no: device.serialNo,
      topic: commandTopic(device.serialNo),
      payload: JSON.stringify(command),
      expires_at: Date.now() + COMMAND_TTL_MS,
    },
  ]);
  const id = command.command_id;
  await c.var.db.batch([
    insertEvents(c.var.db, [
      { id, device_id: device.id, at: new Date(), kind: 'command', detail: { command: command.command } },
    ]),
    auditEntry(c.var.db, {
      actor: c.var.principal.actor,
      action: `device.${command.command}`,
      subject: device.serialNo,
    }),
  ]);
}

/** Restarts a device. */
export async function rebootDevice(c: AppContext, device: DeviceRow): Promise<string> {
  const command_id = crypto.randomUUID();
  await sendCommand(c, device, { command: 'reboot', command_id });
  return command_id;
}

/** Asks a device to change settings; they show as pending until it confirms them. */
export async function configureDevice(
  c: AppContext,
  device: DeviceRow,
  config: Record<string, string>,
): Promise<void> {
  await requestConfig(c.var.db, device.id, config, new Date());
  await sendCommand(c, device, { command: 'config_update', command_id: crypto.randomUUID(), config });
}

/**
 * Revokes a device: ledger first, so that from here on every door refuses it, then its live sessions. A crash
 * before the last step leaves a session that ingest refuses; revoking again ends it.
 */
export async function revoke(c: AppContext, device: DeviceRow): Promise<void> {
  await revokeDevice(c.var.db, device.id);
  await revokeCertificates(c.var.db, device.id);
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'device.revoke',
    subject: device.serialNo,
  });
  await shardFor(c.env, device.serialNo).forget([device.serialNo]);
  await c.env.BROKER_LINK.getByName('main').disconnect([device.serialNo]);
}

/** Removes a device altogether. */
export async function remove(c: AppContext, device: DeviceRow): Promise<void> {
  await revoke(c, device);
  await deleteDevice(c.var.db, device.id);
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'device.delete',
    subject: device.serialNo,
  });
}

/** A one-time enrolment token for a device. It is shown once. */
export async function newEnrolmentToken(
  c: AppContext,
  device: DeviceRow,
): Promise<{ token: string; expires_at: string }> {
  const token = newSecret();
  const expiresAt = new Date(Date.now() + TOKEN_TTL_MS);
  await addEnrolmentToken(c.var.db, {
    tokenHash: await digestSecret(token),
    deviceId: device.id,
    createdBy: c.var.principal.actor,
    expiresAt,
  });
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'device.token',
    subject: device.serialNo,
  });
  return { token, expires_at: expiresAt.toISOString() };
}
