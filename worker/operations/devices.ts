/** What can be done to a device, for the API and the pages alike. */
import type { z } from 'zod';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import { invalidate } from '../../durable-objects/coordinator/stale-keys.ts';
import type { Env } from '../../durable-objects/env.ts';
import type { LiveDevice } from '../../durable-objects/fleet-shard/live-device.ts';
import {
  type ChangeDevice,
  type Device,
  device as deviceSchema,
  MAX_TAGS,
  type tagDevices as tagDevicesBody,
} from '../../protocol/api.ts';
import type { Command } from '../../protocol/messages.ts';
import { shardOf } from '../../protocol/shards.ts';
import { commandTopic } from '../../protocol/topics.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { cacheKey, TTL_S } from '../../store/cache.ts';
import { addEnrolmentToken, revokeCertificates } from '../../store/certificates.ts';
import { digestSecret, newSecret } from '../../store/credentials.ts';
import { requestConfig } from '../../store/device-configs.ts';
import { insertEvents } from '../../store/device-events.ts';
import {
  approveDevice,
  changeDevice,
  type DeviceRow,
  decommissionDevice,
  deleteDevice,
  deviceOf,
  findDevice,
  revokeDevice,
  tagDevices,
  UUID,
} from '../../store/devices.ts';
import { existing, findRules } from '../../store/groups.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';

/** How many of many unknown serial numbers are named. */
const NAMED = 10;
/** Why nobody is put into a group by rule. */
export const RULED = 'Its devices are those for which the rule holds.';
const TOKEN_TTL_MS = 24 * 3_600_000;

export const shardFor = (env: Env, serialNo: string) =>
  env.FLEET_SHARD.getByName(`shard-${shardOf(serialNo)}`);

/** Devices with what their shards know better than the ledger: when each was last seen, to the second. */
export async function withPresence(c: AppContext, devices: readonly Device[]): Promise<Device[]> {
  const byShard = Map.groupBy(devices, ({ serial_no }) => shardOf(serial_no));
  const live: Record<string, LiveDevice> = Object.assign(
    {},
    ...(await Promise.all(
      [...byShard.values()].map((group) =>
        shardFor(c.env, group[0]?.serial_no ?? '').look(group.map(({ serial_no }) => serial_no)),
      ),
    )),
  );
  return devices.map((device) => {
    const { online: _, last_seen, ...readings } = live[device.serial_no] ?? {};
    return {
      ...device,
      ...(last_seen === undefined ? {} : { last_seen: new Date(last_seen).toISOString() }),
      ...Object.fromEntries(Object.entries(readings).filter(([, value]) => value !== undefined)),
    };
  });
}

/** One device as it is right now, by its serial number or UUID. Throws a 404 where there is none. */
export async function deviceNow(c: AppContext, id: string): Promise<Device> {
  const load = async () => {
    const row = await findDevice(c.var.db, id);
    return row && deviceOf(row);
  };
  // A UUID may be a serial number too, so only the ledger can tell which device is meant.
  const known = UUID.test(id)
    ? await load()
    : await c.var.cache.read(cacheKey.device(id), deviceSchema.optional(), TTL_S.device, load);
  if (known === undefined)
    throw new ProblemError(404, 'No such device', 'No device has this id or serial number.');
  const [device] = await withPresence(c, [known]);
  return device ?? known;
}

/** These devices have changed in the ledger: whoever remembers them forgets. */
export async function devicesChanged(c: AppContext, serialNos: readonly string[]): Promise<void> {
  const byShard = Map.groupBy(serialNos, shardOf);
  await Promise.all(
    [...byShard].map(([n, group]) => c.env.FLEET_SHARD.getByName(`shard-${n}`).forget(group)),
  );
}

/** Queues a command for a device, for as long as the settings say. */
async function sendCommand(c: AppContext, device: DeviceRow, command: Command, until: Date): Promise<void> {
  await c.env.BROKER_LINK.getByName('main').enqueue([
    {
      serial_no: device.serialNo,
      topic: commandTopic(device.serialNo),
      payload: JSON.stringify({ ...command, expires_at: Math.floor(until.getTime() / 1000) }),
      expires_at: until.getTime(),
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

async function commandExpiry(c: AppContext): Promise<Date> {
  const { command_expiry_s } = await readSettings(c.env);
  return new Date(Date.now() + command_expiry_s * 1000);
}

/** Throws a 409 where nothing can reach the device any more, or nobody has approved it yet. */
function mustBeInService(device: DeviceRow): void {
  if (!device.approved) {
    throw new ProblemError(409, 'Device not approved', 'It takes no commands before it is approved.');
  }
  if (device.revokedAt === null && device.decommissionedAt === null) return;
  const state = device.decommissionedAt === null ? 'revoked' : 'decommissioned';
  throw new ProblemError(409, `Device ${state}`, `A ${state} device hears no commands.`);
}

/** Restarts a device; answers the `command_id`. */
export async function rebootDevice(c: AppContext, device: DeviceRow): Promise<string> {
  mustBeInService(device);
  const command_id = crypto.randomUUID();
  await sendCommand(c, device, { command: 'reboot', command_id }, await commandExpiry(c));
  return command_id;
}

/** Asks a device to change settings; they show as pending until it confirms them, or the request expires. */
export async function configureDevice(
  c: AppContext,
  device: DeviceRow,
  config: Record<string, string>,
): Promise<void> {
  mustBeInService(device);
  const command_id = crypto.randomUUID();
  const until = await commandExpiry(c);
  await requestConfig(c.var.db, {
    device_id: device.id,
    config,
    command_id,
    actor: c.var.principal.actor,
    at: new Date(),
    until,
  });
  await invalidate(c.env, [cacheKey.config(device.id)]);
  await sendCommand(c, device, { command: 'config_update', command_id, config }, until);
}

/** Why a device takes part in nothing any more; its campaigns leave it out for that. */
const OUT = {
  revoked: 'its certificate is revoked',
  decommissioned: 'it is out of service',
  deleted: 'it was deleted',
};
type Out = keyof typeof OUT;

/**
 * Revokes a device: ledger first, so that from here on every door refuses it, then its live sessions. A crash
 * before the last step leaves a session that ingest refuses; revoking again ends it.
 */
export async function revoke(c: AppContext, device: DeviceRow, why: Out = 'revoked'): Promise<void> {
  await revokeDevice(c.var.db, device.id);
  await revokeCertificates(c.var.db, device.id);
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: 'device.revoke',
    subject: device.serialNo,
  });
  await devicesChanged(c, [device.serialNo]);
  await c.env.BROKER_LINK.getByName('main').disconnect([device.serialNo]);
  await shardFor(c.env, device.serialNo).exclude(device.serialNo, why, OUT[why]);
}

/** Takes a device out of service for good: it is shut out like a revoked one, and left out everywhere. */
export async function decommission(c: AppContext, device: DeviceRow): Promise<void> {
  await decommissionDevice(c.var.db, device.id);
  await revoke(c, device, 'decommissioned');
  await note(c, 'device.decommission', device.serialNo);
}

/** A device that registered itself and waited may take part from now on. */
export async function approve(c: AppContext, device: DeviceRow): Promise<void> {
  await approveDevice(c.var.db, device.id);
  await devicesChanged(c, [device.serialNo]);
  await note(c, 'device.approve', device.serialNo);
}

/** Throws a 422 where a device is to be put into a group whose devices are those its rule holds for. */
export async function mustTakeMembers(c: AppContext, group: string | null | undefined): Promise<void> {
  if (group == null || !(await findRules(c.var.db, [group])).has(group)) return;
  throw new ProblemError(422, 'The group has a rule', RULED, [{ field: 'group', message: RULED }]);
}

/** Changes what people say about a device. Throws a 404 where it is gone meanwhile. */
export async function relabel(c: AppContext, device: DeviceRow, change: ChangeDevice): Promise<void> {
  if (change.group !== device.group) await mustTakeMembers(c, change.group);
  if ((await changeDevice(c.var.db, device.id, change)) === undefined) {
    throw new ProblemError(404, 'No such device', 'It was deleted meanwhile.');
  }
  await devicesChanged(c, [device.serialNo]);
  await note(c, 'device.change', device.serialNo, change);
}

/** Adds and removes tags of devices, all or none; answers how many. */
export async function tag(c: AppContext, wanted: z.infer<typeof tagDevicesBody>): Promise<number> {
  const { serial_nos, add, remove } = wanted;
  await mustExist(c, serial_nos);
  const tagged = await tagDevices(c.var.db, { serial_nos, add, remove, most: MAX_TAGS });
  if (tagged.length === 0) {
    throw new ProblemError(
      422,
      'Too many tags',
      `A device has at most ${MAX_TAGS} tags, and one of these would have more: no device was changed.`,
    );
  }
  await devicesChanged(c, tagged);
  await note(c, 'device.tag', 'devices', { add, remove, devices: tagged.length });
  return tagged.length;
}

const note = (c: AppContext, action: string, subject: string, detail: Record<string, unknown> = {}) =>
  auditEntry(c.var.db, { actor: c.var.principal.actor, action, subject, detail });

/** Removes a device altogether. */
export async function remove(c: AppContext, device: DeviceRow): Promise<void> {
  await revoke(c, device, 'deleted');
  await deleteDevice(c.var.db, device.id);
  await shardFor(c.env, device.serialNo).drop(device.serialNo);
  await invalidate(c.env, [cacheKey.config(device.id)]);
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

/** Throws a 422 that names the first serial numbers nobody has. */
export async function mustExist(c: AppContext, serialNos: readonly string[]): Promise<void> {
  const there = await existing(c.var.db, serialNos);
  const unknown = serialNos.filter((serial) => !there.has(serial));
  if (unknown.length === 0) return;
  const more = unknown.length > NAMED ? ` and ${unknown.length - NAMED} more` : '';
  throw new ProblemError(
    422,
    'Unknown devices',
    `No device has these serial numbers: ${unknown.slice(0, NAMED).join(', ')}${more}. Nothing was changed.`,
  );
}
