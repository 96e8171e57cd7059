/** A campaign's devices, each with the way to its timeline. */
import type { Campaign, DeviceUpdate, Page } from '../protocol/api.ts';
import { UPDATE_STATES } from '../protocol/api.ts';
import { Badge, Empty, Pager, wordOf } from './parts.tsx';

export const UpdateTable = ({ updates }: { updates: DeviceUpdate[] }) => (
  <div class="scroll" tabindex={0} role="region" aria-label="Devices of the campaign">
    <table>
      <thead>
        <tr>
          <th>Device</th>
          <th>Status</th>
          <th>Stage</th>
          <th>From</th>
          <th>What it said</th>
        </tr>
      </thead>
      <tbody>
        {updates.map((update) => (
          <tr>
            <td class="name">
              <a href={`/campaigns/${update.campaign_id}/devices/${update.serial_no}`}>{update.serial_no}</a>
            </td>
            <td>
              <Badge state={update.status} />
              {update.progress === null || update.status !== 'downloading'
                ? null
                : ` ${Math.round(update.progress)} %`}
            </td>
            <td>{update.stage + 1}</td>
            <td class="mono">{update.from_version ?? '–'}</td>
            <td class="wrap">{update.detail ?? update.error ?? ''}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

export const CampaignDevices = ({
  campaign,
  list,
  query,
}: {
  campaign: Pick<Campaign, 'id' | 'name'>;
  list: Page<DeviceUpdate>;
  query: Record<string, string>;
}) => {
  const path = `/campaigns/${campaign.id}/devices`;
  return (
    <>
      <div class="head">
        <div>
          <h1>Devices</h1>
          <p class="sub">
            of <a href={`/campaigns/${campaign.id}`}>{campaign.name}</a>
          </p>
        </div>
      </div>
      <form class="filters" action={path} method="get">
        <div class="field">
          <label for="status">Status</label>
          <select id="status" name="status">
            <option value="">any</option>
            {UPDATE_STATES.map((state) => (
              <option value={state} selected={query.status === state}>
                {wordOf(state)}
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for="error">Error</label>
          <input id="error" name="error" maxlength={64} value={query.error ?? ''} placeholder="any" />
        </div>
        <button>Filter</button>
      </form>
      <section class="panel">
        {list.items.length === 0 ? (
          <Empty>
            <p>No device of this campaign is like that.</p>
          </Empty>
        ) : (
          <UpdateTable updates={list.items} />
        )}
        <Pager path={path} query={query} next={list.next_cursor} />
      </section>
    </>
  );
};
