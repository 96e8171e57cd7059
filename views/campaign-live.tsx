/** One campaign: the page, and the part of it that the campaign object pushes while it is watched. */
import type {
  Campaign,
  CampaignMetrics,
  CampaignStatus,
  DeviceUpdate,
  MaintenanceWindow,
  Stage,
} from '../protocol/api.ts';
import type { ErrorReport } from '../protocol/error-report.ts';
import { type Approval, ApprovalNotice, CampaignActions } from './campaign-actions.tsx';
import { UpdateTable } from './campaign-devices.tsx';
import { CampaignErrors, LIVE } from './campaign-errors.tsx';
import { PreviewLater } from './campaign-preview.tsx';
import { shares } from './campaigns.tsx';
import { count, duration, plural } from './format.ts';
import { Badge, Moment, StackedBar } from './parts.tsx';

/** What a campaign object knows of itself. */
export interface CampaignView {
  status: CampaignStatus;
  reason: string | null;
  metrics: CampaignMetrics;
  /** The latest changed devices. */
  latest: DeviceUpdate[];
}

const STAGE_WORDS = { waiting: 'waiting', running: 'running', passed: 'passed', stopped: 'stopped' } as const;

const Stages = ({ metrics }: { metrics: CampaignMetrics }) => (
  <ol class="rail">
    {metrics.stages.map((stage, index) => (
      <li data-state={stage.state}>
        <div class="name">
          <span>
            {index + 1}. {stage.name}
          </span>
          <span class="soft">{STAGE_WORDS[stage.state]}</span>
        </div>
        <StackedBar
          parts={shares(stage)}
          label={`${stage.counts.completed} of ${stage.target} completed, ${stage.counts.failed + stage.counts.rollback} failed`}
        />
        <p>
          {count(stage.counts.completed)} of {plural(stage.target, 'device')}
        </p>
      </li>
    ))}
  </ol>
);

/** The devices that changed last. */
export const CampaignLatest = ({ latest }: Pick<CampaignView, 'latest'>) => (
  <div id="campaign-latest" class="live">
    {latest.length === 0 ? null : (
      <section class="panel">
        <h2>Devices, latest change first</h2>
        <UpdateTable updates={latest} />
      </section>
    )}
  </div>
);

/** How it stands: what changes all the time while it runs. */
export const CampaignLive = ({
  id,
  status,
  reason,
  metrics,
}: Omit<CampaignView, 'latest'> & { id: string }) => (
  <div id="campaign-live" class="live" data-status={status}>
    <div class="actions">
      <Badge state={status} />
      <span>{reason ?? (status === 'completed' ? 'Every stage has passed.' : '')}</span>
    </div>
    {metrics.started_at === null ? null : <Counts metrics={metrics} />}
    {status === 'draft' || status === 'scheduled' ? <PreviewLater id={id} /> : null}
  </div>
);

const Counts = ({ metrics }: Pick<CampaignView, 'metrics'>) => (
  <>
    <section class="tiles" aria-label="Counts">
      {shares(metrics).map(({ tone, n, label }) => (
        <div class="tile" data-tone={n === 0 ? 'wait' : tone}>
          <b>{count(n)}</b>
          <span>{label}</span>
        </div>
      ))}
      <div class="tile">
        <b>{count(metrics.counts.pending)}</b>
        <span>waiting</span>
      </div>
      <div class="tile">
        <b>{count(metrics.target)}</b>
        <span>devices in all</span>
      </div>
    </section>
    <Stages metrics={metrics} />
  </>
);

/** The message that puts the live parts in place, and for an operator what can be done by now. */
export function campaignFragments(
  { latest, ...view }: CampaignView & { id: string },
  mayOperate: boolean,
): string {
  return String(
    <>
      <hx-partial hx-target="#campaign-live" hx-swap="outerMorph">
        <CampaignLive {...view} />
      </hx-partial>
      <hx-partial hx-target="#campaign-latest" hx-swap="outerMorph">
        <CampaignLatest latest={latest} />
      </hx-partial>
      {mayOperate ? (
        <hx-partial hx-target="#campaign-actions" hx-swap="outerMorph">
          <CampaignActions {...view} />
        </hx-partial>
      ) : null}
    </>,
  );
}

/** How far a stage reaches, in words. */
function reach({ percentage, count: most, group }: Stage): string {
  if (group !== undefined) return `group ${group}`;
  if (percentage === undefined) return plural(most ?? 0, 'device');
  return most === undefined ? `${percentage} %` : `${percentage} %, at most ${plural(most, 'device')}`;
}

/** A stage of the policy, in words. */
function stageWords(s: Stage): string {
  const bake = s.min_duration_s > 0 ? ` and ${duration(s.min_duration_s)}` : '';
  const opens = s.start === 'manual' ? ', opened by hand' : '';
  return `${reach(s)} (passes at ${s.success_threshold} %${bake}${opens})`;
}

/** The pace, in words. */
function paceWords({ max_concurrent, rate_per_minute, ramp, max_per_gateway }: Campaign): string {
  return [
    `${count(max_concurrent)} at a time`,
    `${count(rate_per_minute)} a minute`,
    ramp == null
      ? undefined
      : `from ${count(ramp.base_rate_per_minute)} a minute, × ${ramp.increment_factor} with every ${count(ramp.successes)} completed`,
    max_per_gateway == null ? undefined : `${count(max_per_gateway)} behind one gateway or public address`,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

const windowWords = ({ days, from, to, time_zone }: MaintenanceWindow): string =>
  `${days === undefined ? 'daily' : days.join(', ')} ${from}–${to} ${time_zone === 'device' ? 'by each device’s clock' : time_zone}`;

const KINDS: Record<Campaign['kind'], string> = {
  forced: 'installed at once',
  soft: 'the device’s user may postpone it',
  download_only: 'downloaded and verified, not installed: completed means downloaded',
};

/** What a campaign is for, in words. */
function targetWords({ target }: Campaign): string {
  const parts = [
    target.fw_version === undefined ? undefined : `running ${target.fw_version}`,
    list('in group', target.groups),
    list('tagged', target.tags),
    list('with serial number', target.serial_nos),
  ].filter((part) => part !== undefined);
  const sample = target.percentage === undefined ? '' : `${target.percentage} % of `;
  const joining = target.dynamic === true ? ', and those that come to match' : '';
  const who = parts.length === 0 ? 'every device of the model' : `the devices ${parts.join(', ')}`;
  return `${sample}${who}${joining}`;
}

const list = (word: string, items: readonly string[] | undefined): string | undefined =>
  items === undefined || items.length === 0
    ? undefined
    : `${word} ${items.slice(0, 5).join(' or ')}${items.length > 5 ? ' …' : ''}`;

export const CampaignPage = ({
  campaign: c,
  view,
  errors,
  mayOperate,
  approval,
  problem,
}: {
  campaign: Campaign;
  view: CampaignView;
  errors: ErrorReport;
  mayOperate: boolean;
  approval: Approval | undefined;
  problem?: string | undefined;
}) => (
  <>
    <div class="head">
      <div>
        <h1>{c.name}</h1>
        <p class="sub">
          <a href={`/firmware/${c.firmware_id}`}>{c.firmware}</a> to {targetWords(c)}
          {c.archived ? ', archived: it can only be read' : ''}
        </p>
      </div>
      {mayOperate && !c.archived ? (
        <CampaignActions id={c.id} status={view.status} metrics={view.metrics} approval={approval} />
      ) : null}
    </div>
    {c.status === 'draft' ? <ApprovalNotice approval={approval} /> : null}
    {problem === undefined ? null : (
      <p class="notice" data-tone="bad" role="alert">
        {problem}
      </p>
    )}
    {LIVE.includes(c.status) ? (
      <div class="visually-hidden" hx-ws:connect={`/live/campaigns/${c.id}`} hx-swap="none" />
    ) : null}
    <CampaignLive id={c.id} status={view.status} reason={view.reason} metrics={view.metrics} />
    <CampaignErrors id={c.id} status={view.status} report={errors} />
    <CampaignLatest latest={view.latest} />
    {c.started_at === null ? null : (
      <p>
        <a href={`/campaigns/${c.id}/devices`}>All its devices</a>
      </p>
    )}
    <section class="panel">
      <h2>Policy</h2>
      <dl class="facts">
        <dt>Stages</dt>
        <dd>{c.stages.map(stageWords).join(' → ')}</dd>
        <dt>Stops above</dt>
        <dd>
          {c.failure_threshold} % failed, then {c.on_failure === 'pause' ? 'pauses' : 'rolls back'}
        </dd>
        <dt>Pace</dt>
        <dd>{paceWords(c)}</dd>
        <dt>Windows</dt>
        <dd>{c.windows.length === 0 ? 'at all times' : c.windows.map(windowWords).join('; ')}</dd>
        <dt>Kind</dt>
        <dd>
          {KINDS[c.kind]}
          {c.kind === 'soft' ? ` for up to ${duration(c.postpone_limit_s)}` : ''}
        </dd>
        <dt>Priority</dt>
        <dd>{c.priority}</dd>
        <dt>Per device</dt>
        <dd>
          {duration(c.update_timeout_s)}, {plural(c.max_attempts, 'attempt')}
        </dd>
        <dt>Made by</dt>
        <dd>
          {c.created_by}, <Moment at={c.created_at} />
        </dd>
        <dt>Approved by</dt>
        <dd>{c.approved_by ?? '–'}</dd>
        {c.start_at == null ? null : (
          <>
            <dt>Begins</dt>
            <dd>
              <Moment at={c.start_at} />
            </dd>
          </>
        )}
        {c.end_at == null ? null : (
          <>
            <dt>Ends</dt>
            <dd>
              <Moment at={c.end_at} />, then no further device starts
            </dd>
          </>
        )}
        <dt>Started</dt>
        <dd>
          <Moment at={c.started_at} />
        </dd>
        <dt>Finished</dt>
        <dd>
          <Moment at={c.finished_at} />
        </dd>
      </dl>
    </section>
  </>
);
