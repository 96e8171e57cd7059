/** `/campaigns/:id/rehearsal`: what it would do, were it started now. */
import { Hono } from 'hono';
import { z } from 'zod';
import { rehearsalRequest } from '../../protocol/rehearsal.ts';
import { errorPage, page } from '../../views/layout.tsx';
import { RehearsalPage } from '../../views/rehearsal.tsx';
import { theCampaign } from '../api/lookup.ts';
import type { AppEnv } from '../context.ts';
import { rehearseCampaign } from '../operations/rehearsal.ts';
import { signedIn, viewerOf } from './session.tsx';

const asked = z.preprocess(
  (text) => (text === undefined || text === '' ? undefined : Number(text)),
  rehearsalRequest.shape.failure_rate,
);

export const campaignRehearsal = new Hono<AppEnv>().get(
  '/campaigns/:id/rehearsal',
  signedIn('operate'),
  async (c) => {
    const found = await theCampaign(c, c.req.param('id'));
    const text = c.req.query('failure_rate') ?? '';
    const rate = asked.safeParse(text);
    if (!rate.success) return c.html(errorPage('No such rate', 'Failing updates are 0 to 100 percent.'), 400);
    const rehearsal = await rehearseCampaign(c, found, rate.data);
    const content = <RehearsalPage campaign={found.row} rehearsal={rehearsal} failureRate={text} />;
    return c.html(page(`Rehearsal of ${found.row.name}`, viewerOf(c), '/campaigns', content));
  },
);
