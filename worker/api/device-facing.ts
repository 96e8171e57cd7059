/** For devices without MQTT: the same words over HTTPS, each authenticated as that device. */
import { z } from '@hono/zod-openapi';
import type { Env } from '../../durable-objects/env.ts';
import type { DeviceMessage } from '../../durable-objects/fleet-shard/messages.ts';
import { serialNo, versionText } from '../../protocol/identifiers.ts';
import { heartbeat, otaUpdate, updateReport } from '../../protocol/messages.ts';
import { findRunningCampaigns } from '../../store/campaigns.ts';
import { findDeviceBySerial } from '../../store/devices.ts';
import { requireDevice } from '../auth/device.ts';
import { digestOf } from '../ingest/parse.ts';
import { shardFor } from '../operations/devices.ts';
import { ProblemError } from '../problem.ts';
import { body, json, route, router } from './route.ts';

const tags = ['device-facing'];
const security = [{ device: [] }];
const checkQuery = z.object({ serial_no: serialNo, model: heartbeat.shape.model, version: versionText });
const report = updateReport.extend({ serial_no: serialNo });
const validation = z.object({
  serial_no: serialNo,
  campaign_id: z.uuid(),
  version: versionText,
  ok: z.boolean(),
  error: updateReport.shape.error,
});

export const deviceFacing = router()
  .openapi(
    route({
      method: 'get',
      path: '/updates/check',
      tags,
      security,
      summary: 'The update this device should install now',
      middleware: [requireDevice] as const,
      request: { query: checkQuery },
      responses: { 200: json(otaUpdate, 'Install this'), 204: { description: 'Nothing to do' } },
    }),
    async (c) => {
      const said = c.req.valid('query');
      mustBe(c.var.device.serial_no, said.serial_no);
      await take(c.env, said.serial_no, {
        kind: 'heartbeat',
        heartbeat: {
          serial_no: said.serial_no,
          model: said.model,
          current_firmware: said.version,
          timestamp: nowS(),
        },
      });
      for (const id of await findRunningCampaigns(c.var.db, said.serial_no)) {
        const command = await c.env.CAMPAIGN.getByName(id).check(said.serial_no);
        if (command !== null) return c.json(command, 200);
      }
      return c.body(null, 204);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/status',
      tags,
      security,
      summary: 'What it says of its update',
      middleware: [requireDevice] as const,
      request: body(report),
      responses: { 204: { description: 'It is durable' } },
    }),
    async (c) => {
      const { serial_no, ...said } = c.req.valid('json');
      mustBe(c.var.device.serial_no, serial_no);
      await take(c.env, serial_no, { kind: 'report', report: said });
      return c.body(null, 204);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/validation',
      tags,
      security,
      summary: 'Whether the new version works, after the restart',
      middleware: [requireDevice] as const,
      request: body(validation),
      responses: { 204: { description: 'It is durable' } },
    }),
    async (c) => {
      const said = c.req.valid('json');
      mustBe(c.var.device.serial_no, said.serial_no);
      const device = await findDeviceBySerial(c.var.db, said.serial_no);
      if (device === undefined) throw new ProblemError(404, 'No such device');
      const common = { serial_no: said.serial_no, timestamp: nowS() };
      const failed = said.error === undefined ? 'validation_failed' : said.error;
      await take(
        c.env,
        said.serial_no,
        said.ok
          ? {
              kind: 'heartbeat',
              heartbeat: { ...common, model: device.model, current_firmware: said.version },
            }
          : {
              kind: 'report',
              report: {
                campaign_id: said.campaign_id,
                status: 'rollback',
                failed_firmware: said.version,
                error: failed,
                timestamp: common.timestamp,
              },
            },
      );
      return c.body(null, 204);
    },
  );

type Said = DeviceMessage extends infer M
  ? M extends DeviceMessage
    ? Omit<M, 'serial_no' | 'received_at' | 'digest'>
    : never
  : never;

/** Hands a message to the device's shard, as the bridge would. Durable when it returns. */
async function take(env: Env, serial: string, said: Said): Promise<void> {
  const digest = digestOf(`https/${serial}`, JSON.stringify(said));
  const message = { ...said, serial_no: serial, received_at: Date.now(), digest };
  const [refusal] = await shardFor(env, serial).ingest([message]);
  if (refusal !== undefined) throw new ProblemError(409, 'Not taken', refusal.reason);
}

function mustBe(proved: string, said: string): void {
  if (proved !== said)
    throw new ProblemError(403, 'Not this device', 'serial_no is not the device of the token.');
}

const nowS = () => Math.floor(Date.now() / 1000);
