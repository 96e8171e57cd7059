/** Telling campaign objects what their members said. */
import type { Env } from '../env.ts';
import type { DeviceMessage, Heard, Reported } from './messages.ts';
import type { Watches } from './watches.ts';

/** One call a campaign and kind. When it returns, the campaigns have it. `back` are devices that were offline until then. */
export async function tellCampaigns(
  env: Env,
  watches: Watches,
  messages: readonly DeviceMessage[],
  back: ReadonlySet<string>,
): Promise<void> {
  const heard = new Map<string, Heard[]>();
  const reported = new Map<string, Reported[]>();
  for (const m of messages) {
    if (m.kind === 'heartbeat') {
      const { current_firmware, apps = {} } = m.heartbeat;
      for (const campaign of watches.of(m.serial_no)) {
        push(heard, campaign, {
          serial_no: m.serial_no,
          current_firmware,
          apps,
          back: back.has(m.serial_no),
        });
      }
    } else if (m.kind === 'report') {
      push(reported, m.report.campaign_id, { serial_no: m.serial_no, digest: m.digest, report: m.report });
    }
  }
  const campaign = (id: string) => env.CAMPAIGN.getByName(id);
  await Promise.all([...reported].map(([id, items]) => campaign(id).report(items)));
  await Promise.all([...heard].map(([id, items]) => campaign(id).hear(items)));
}

function push<Item>(lists: Map<string, Item[]>, key: string, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}
