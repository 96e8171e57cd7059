/** Why a campaign's updates failed, and what the devices have in common. */
import type { CampaignStatus } from '../protocol/api.ts';
import type { ErrorGroup, ErrorReport, ErrorShare } from '../protocol/error-report.ts';
import { count, plural } from './format.ts';

/** While it stands like this, what its page shows changes by itself. */
export const LIVE: readonly CampaignStatus[] = ['draft', 'scheduled', 'active', 'paused'];

type Numbers = Pick<ErrorShare, 'count' | 'share' | 'rate'>;

const NumberCells = ({ count: n, share, rate }: Numbers) => (
  <>
    <td class="number">{count(n)}</td>
    <td class="number">{share} %</td>
    <td class="number">{rate} %</td>
  </>
);

/** What devices with one error have in common, a row each. */
const Common = ({ group }: { group: ErrorGroup }) => {
  const rows = [
    ...group.by_previous_version.map((share) => ({ share, what: `from ${share.value ?? 'unknown'}` })),
    ...group.by_group.map((share) => ({
      share,
      what: share.value === null ? 'in no group' : `group ${share.value}`,
    })),
    ...group.by_model.map((share) => ({ share, what: `model ${share.value ?? 'unknown'}` })),
  ];
  return (
    <>
      {rows.map(({ share, what }) => (
        <tr class="part">
          <td class="name">{what}</td>
          <NumberCells {...share} />
        </tr>
      ))}
    </>
  );
};

/** The panel; while the campaign is not over it asks for itself again. Empty where nothing failed. */
export const CampaignErrors = ({
  id,
  status,
  report,
}: {
  id: string;
  status: CampaignStatus;
  report: ErrorReport;
}) => {
  const again = LIVE.includes(status)
    ? { 'hx-get': `/campaigns/${id}/errors`, 'hx-trigger': 'every 5s', 'hx-swap': 'outerMorph' }
    : {};
  if (report.failed === 0) return <div id="campaign-errors" hidden {...again} />;
  return (
    <section id="campaign-errors" class="panel" {...again}>
      <h2>Why updates failed</h2>
      <p class="soft">
        {count(report.failed)} of {plural(report.finished, 'finished device')} failed. Share: of those that
        failed, or failed like that. Rate: of the finished devices of that kind.
      </p>
      <div class="scroll" tabindex={0} role="region" aria-label="Errors">
        <table>
          <thead>
            <tr>
              <th>Error</th>
              <th class="number">Devices</th>
              <th class="number">Share</th>
              <th class="number">Rate</th>
            </tr>
          </thead>
          {report.items.map((group) => (
            <tbody>
              <tr>
                <td class="mono name">
                  <a href={`/campaigns/${id}/devices?error=${encodeURIComponent(group.error)}`}>
                    {group.error}
                  </a>
                </td>
                <NumberCells {...group} />
              </tr>
              <Common group={group} />
            </tbody>
          ))}
        </table>
      </div>
    </section>
  );
};
