/** `/stream/…`: WebSockets of JSON events, the first one a snapshot. */
import { requires } from '../auth/principal.ts';
import { shardFor } from '../operations/devices.ts';
import { theCampaign, theDevice } from './lookup.ts';
import { idParam, problemAs, route, router, uuidParam, webSocketOnly } from './route.ts';

const tags = ['streams'];
const responses = {
  101: { description: 'Switching to WebSocket' },
  426: problemAs('Only a WebSocket is answered here'),
};

const middleware = [requires('read'), webSocketOnly];

export const streams = router()
  .openapi(
    route({
      method: 'get',
      path: '/stream/devices/{id}',
      tags,
      summary: 'One device: how it is, then everything it says',
      middleware,
      request: { params: idParam },
      responses,
    }),
    async (c) => {
      const { serialNo } = await theDevice(c, c.req.valid('param').id);
      const url = new URL(`/stream/devices/${serialNo}`, c.req.url);
      return shardFor(c.env, serialNo).fetch(new Request(url, c.req.raw));
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/stream/campaigns/{id}',
      tags,
      summary: 'One campaign: how it stands, then every change',
      middleware,
      request: { params: uuidParam },
      responses,
    }),
    async (c) => {
      const { row } = await theCampaign(c, c.req.valid('param').id);
      return c.env.CAMPAIGN.getByName(row.id).fetch(c.req.raw);
    },
  )
  .openapi(
    route({
      method: 'get',
      path: '/stream/fleet',
      tags,
      summary: 'The fleet in numbers, and every change of them',
      middleware,
      responses,
    }),
    (c) => c.env.FLEET_STREAM.getByName('main').fetch(c.req.raw),
  )
  .openapi(
    route({
      method: 'get',
      path: '/stream/settings',
      tags,
      summary: "The fleet's settings, and every change of them",
      middleware,
      responses,
    }),
    (c) => c.env.COORDINATOR.getByName('settings').fetch(c.req.raw),
  );
