/** `/devices`: the fleet. */
import { z } from '@hono/zod-openapi';
import {
  changeDevice as changeDeviceBody,
  device,
  deviceCommand,
  deviceEvent,
  deviceStatus,
  deviceUpdate,
  paging,
  registerDevice as registerDeviceBody,
} from '../../protocol/api.ts';
import { text } from '../../protocol/identifiers.ts';
import { listEvents } from '../../store/device-events.ts';
import { deviceOf, findDeviceBySerial, listDevices, registerDevice } from '../../store/devices.ts';
import { listDeviceUpdates } from '../../store/updates.ts';
import { requires } from '../auth/principal.ts';
import {
  approve,
  decommission,
  deviceNow,
  devicesChanged,
  mustTakeMembers,
  newEnrolmentToken,
  rebootDevice,
  relabel,
  remove,
  revoke,
  withPresence,
} from '../operations/devices.ts';
import { ProblemError } from '../problem.ts';
import { theDevice } from './lookup.ts';
import { body, idParam, json, page, route, router, SECRET } from './route.ts';

const tags = ['devices'];
const read = requires('read');
const operate = requires('operate');

const filter = paging.extend({
  model: text(64).optional(),
  status: deviceStatus.optional(),
  firmware: text(64).optional(),
  group: text(64).optional(),
  tag: text(64).optional(),
  q: text(64).optional(),
  approved: z.stringbool({ truthy: ['true', '1'], falsy: ['false', '0'] }).optional(),
  decommissioned: z.stringbool({ truthy: ['true', '1'], falsy: ['false', '0'] }).optional(),
});
const enrolmentToken = z.object({ token: z.string(), expires_at: z.iso.datetime() });
const accepted = z.object({ command_id: z.string() });

export const devices = router()
  .openapi(
    route({
      method: 'get',
      path: '/devices',
      tags,
      summary: 'List devices by serial number',
      middleware: [read] as const,
      request: { query: filter },
      responses: { 200: json(page(device), 'A page of devices') },
    }),
    async (c) => {
      const { limit, cursor, ...by } = c.req.valid('query');
      const list = await listDevices(c.var.db, by, { limit, cursor });
      return c.json({ ...list, items: await withPresence(c, list.items) }, 200);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/devices/register',
      tags,
      summary: 'Register a device',
      middleware: [operate] as const,
      request: body(registerDeviceBody),
      responses: {
        200: json(device, 'It was registered already, with the same model'),
        201: json(device, 'The new device'),
      },
    }),
    async (c) => {
      const wanted = c.req.valid('json');
      await mustTakeMembers(c, wanted.group);
      const created = await registerDevice(c.var.db, wanted);
      if (created !== undefined) {
        await devicesChanged(c, [created.serialNo]);
        return c.json(deviceOf(created), 201);
      }
      const there = await findDeviceBySerial(c.var.db, wanted.serial_no);
      if (there === undefined || there.model !== wanted.model) {
        throw new ProblemError(
          409,
          'Serial number taken',
          'A device of another model has this serial number.',
        );
      }
      return c.json(deviceOf(there), 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/devices/{id}',
      tags,
      summary: 'One device',
      middleware: [read] as const,
      request: { params: idParam },
      responses: { 200: json(device, 'The device') },
    }),
    async (c) => c.json(await deviceNow(c, c.req.valid('param').id), 200),
  )
  .openapi(
    route({
      method: 'put',
      path: '/devices/{id}',
      tags,
      summary: 'Change group, tags, metadata',
      middleware: [operate] as const,
      request: { params: idParam, ...body(changeDeviceBody) },
      responses: { 200: json(device, 'The device as it is now') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      await relabel(c, row, c.req.valid('json'));
      return c.json(await deviceNow(c, row.serialNo), 200);
    },
  )
  .openapi(
    route({
      method: 'delete',
      path: '/devices/{id}',
      tags,
      summary: 'Delete a device; its certificate stops working',
      middleware: [operate] as const,
      request: { params: idParam },
      responses: { 204: { description: 'It is gone' } },
    }),
    async (c) => {
      await remove(c, await theDevice(c, c.req.valid('param').id));
      return c.body(null, 204);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/devices/{id}/history',
      tags,
      summary: 'Its timeline, newest first',
      middleware: [read] as const,
      request: { params: idParam, query: paging },
      responses: { 200: json(page(deviceEvent), 'A page of events') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      return c.json(await listEvents(c.var.db, row.id, c.req.valid('query')), 200);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/devices/{id}/updates',
      tags,
      summary: 'Its updates over all campaigns, latest first',
      middleware: [read] as const,
      request: { params: idParam, query: paging },
      responses: { 200: json(page(deviceUpdate), 'A page of updates') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      return c.json(await listDeviceUpdates(c.var.db, row.id, c.req.valid('query')), 200);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/devices/{id}/commands',
      tags,
      summary: 'Send it a command',
      middleware: [operate] as const,
      request: { params: idParam, ...body(deviceCommand) },
      responses: { 202: json(accepted, 'The command is on its way') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      return c.json({ command_id: await rebootDevice(c, row) }, 202);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/devices/{id}/revoke',
      tags,
      summary: 'Revoke its certificate',
      middleware: [operate] as const,
      request: { params: idParam },
      responses: { 200: json(device, 'The revoked device') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      await revoke(c, row);
      return c.json(deviceOf(await theDevice(c, row.id)), 200);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/devices/{id}/approve',
      tags,
      summary: 'Let a device that waits take part',
      middleware: [operate] as const,
      request: { params: idParam },
      responses: { 200: json(device, 'The approved device') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      await approve(c, row);
      return c.json(await deviceNow(c, row.serialNo), 200);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/devices/{id}/decommission',
      tags,
      summary: 'Take it out of service for good; its history stays',
      middleware: [operate] as const,
      request: { params: idParam },
      responses: { 200: json(device, 'The device') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      await decommission(c, row);
      return c.json(await deviceNow(c, row.serialNo), 200);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/devices/{id}/enrolment-tokens',
      tags,
      summary: 'A one-time token to enrol with',
      middleware: [operate] as const,
      request: { params: idParam },
      responses: { 201: json(enrolmentToken, 'The token, shown this once') },
    }),
    async (c) => {
      const row = await theDevice(c, c.req.valid('param').id);
      if (row.revokedAt !== null)
        throw new ProblemError(409, 'Device revoked', 'A revoked device cannot enrol.');
      return c.json(await newEnrolmentToken(c, row), 201, SECRET);
    },
  );
