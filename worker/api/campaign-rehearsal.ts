/** `POST /campaigns/{id}/rehearsal`: what it would do, were it started now. */
import { rehearsal, rehearsalRequest } from '../../protocol/rehearsal.ts';
import { requires } from '../auth/principal.ts';
import { rehearseCampaign } from '../operations/rehearsal.ts';
import { theCampaign } from './lookup.ts';
import { json, route, router, uuidParam } from './route.ts';

const operate = requires('operate');

export const campaignRehearsal = router().openapi(
  route({
    method: 'post',
    path: '/campaigns/{id}/rehearsal',
    tags: ['campaigns'],
    summary: 'Play it against the last week of its devices, with a clock of its own: nothing starts',
    middleware: [operate] as const,
    request: {
      params: uuidParam,
      body: { required: false, content: { 'application/json': { schema: rehearsalRequest.optional() } } },
    },
    responses: { 200: json(rehearsal, 'How long it would take, its load, and where it would have stopped') },
  }),
  async (c) => {
    const found = await theCampaign(c, c.req.valid('param').id);
    return c.json(await rehearseCampaign(c, found, c.req.valid('json')?.failure_rate), 200);
  },
);
