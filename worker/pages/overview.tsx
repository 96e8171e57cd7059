/** `/`: the overview, and the messages that could not be understood. */
import { Hono } from 'hono';
import { countCampaigns, listCampaigns } from '../../store/campaigns.ts';
import { listRejected } from '../../store/rejected-messages.ts';
import { page } from '../../views/layout.tsx';
import { Overview, Tiles } from '../../views/overview.tsx';
import { RejectedMessages } from '../../views/rejected-messages.tsx';
import { deviceStats } from '../api/stats.ts';
import { may } from '../auth/principal.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { signedIn, viewerOf } from './session.tsx';

const RECENT_MS = 3_600_000;

async function counts(c: AppContext) {
  const [devices, by_status] = await Promise.all([deviceStats(c), countCampaigns(c.var.db)]);
  return { devices, by_status };
}

export const overview = new Hono<AppEnv>()
  .get('/', signedIn(), async (c) => {
    const now = new Date();
    const [both, campaigns, messages] = await Promise.all([
      counts(c),
      listCampaigns(c.var.db, {}, { limit: 5 }),
      listRejected(c.var.db, { limit: 200 }),
    ]);
    const rejected = messages.items.filter(({ at }) => now.getTime() - at.getTime() < RECENT_MS).length;
    return c.html(
      page(
        'Overview',
        viewerOf(c),
        '/',
        <Overview
          {...both}
          campaigns={campaigns.items}
          rejected={rejected}
          mayOperate={may(c.var.principal.role, 'operate')}
          now={now}
        />,
      ),
    );
  })
  .get('/overview/tiles', signedIn(), async (c) => c.html(<Tiles {...(await counts(c))} />))
  .get('/rejected-messages', signedIn('read'), async (c) => {
    const { items: messages } = await listRejected(c.var.db, { limit: 200 });
    return c.html(
      page(
        'Rejected messages',
        viewerOf(c),
        '/rejected-messages',
        <RejectedMessages messages={messages} now={new Date()} />,
      ),
    );
  });
