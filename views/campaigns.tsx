/** The list of campaigns. */
import type { Campaign, CampaignMetrics, Page } from '../protocol/api.ts';
import { CAMPAIGN_STATUSES } from '../protocol/api.ts';
import { count } from './format.ts';
import { Badge, Empty, Pager, StackedBar, When, wordOf } from './parts.tsx';

export type CampaignListItem = Campaign & { metrics: CampaignMetrics | null };

/** Completed, failed and under way, as shares of all. */
export function shares({ counts, target }: Pick<CampaignMetrics, 'counts' | 'target'>) {
  const of = (n: number) => (target === 0 ? 0 : n / target);
  const busy = counts.offered + counts.downloading + counts.installing + counts.rebooting;
  return [
    { tone: 'good' as const, share: of(counts.completed), n: counts.completed, label: 'completed' },
    {
      tone: 'bad' as const,
      share: of(counts.failed + counts.rollback),
      n: counts.failed + counts.rollback,
      label: 'failed',
    },
    { tone: 'busy' as const, share: of(busy), n: busy, label: 'under way' },
    { tone: 'wait' as const, share: of(counts.skipped), n: counts.skipped, label: 'skipped' },
  ];
}

export const CampaignTable = ({
  items,
  now,
  none = 'No campaign yet.',
  make,
}: {
  items: CampaignListItem[];
  now: Date;
  /** What an empty list says. */
  none?: string;
  /** Where one is made, for whoever may. */
  make?: string | undefined;
}) =>
  items.length === 0 ? (
    <Empty>
      <p>
        {none} {make === undefined ? null : <a href={make}>Make one</a>}
      </p>
    </Empty>
  ) : (
    <div class="scroll" tabindex={0} role="region" aria-label="Campaigns">
      <table>
        <thead>
          <tr>
            <th>Campaign</th>
            <th>Status</th>
            <th>Firmware</th>
            <th>Completed</th>
            <th>Made</th>
          </tr>
        </thead>
        <tbody>
          {items.map((c) => (
            <tr>
              <td class="name">
                <a href={`/campaigns/${c.id}`}>{c.name}</a>
              </td>
              <td>
                <Badge state={c.status} /> {c.archived ? <Badge state="archived" /> : null}
              </td>
              <td class="mono">{c.firmware}</td>
              <td>
                {c.metrics === null ? (
                  <span class="soft">not started</span>
                ) : (
                  <>
                    {count(c.metrics.counts.completed)} of {count(c.metrics.target)}
                    <StackedBar
                      parts={shares(c.metrics)}
                      label={`${c.metrics.counts.completed} of ${c.metrics.target}`}
                    />
                  </>
                )}
              </td>
              <td>
                <When at={c.created_at} now={now} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );

export const Campaigns = ({
  list,
  query,
  mayOperate,
  now,
}: {
  list: Page<CampaignListItem>;
  query: Record<string, string>;
  mayOperate: boolean;
  now: Date;
}) => (
  <>
    <div class="head">
      <h1>Campaigns</h1>
      {mayOperate ? (
        <a class="button primary" href="/campaigns/new">
          New campaign
        </a>
      ) : null}
    </div>
    <form class="filters" action="/campaigns" method="get">
      <div class="field">
        <label for="status">Status</label>
        <select id="status" name="status">
          <option value="">any</option>
          {CAMPAIGN_STATUSES.map((status) => (
            <option value={status} selected={query.status === status}>
              {wordOf(status)}
            </option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="archived">Archive</label>
        <select id="archived" name="archived">
          <option value="">with the archive</option>
          <option value="false" selected={query.archived === 'false'}>
            without the archive
          </option>
          <option value="true" selected={query.archived === 'true'}>
            only the archive
          </option>
        </select>
      </div>
      <button>Filter</button>
    </form>
    <section class="panel">
      <CampaignTable
        items={list.items}
        now={now}
        {...(query.status === undefined && query.archived === undefined
          ? { make: mayOperate ? '/campaigns/new' : undefined }
          : { none: 'No campaign matches.' })}
      />
      <Pager path="/campaigns" query={query} next={list.next_cursor} />
    </section>
  </>
);
