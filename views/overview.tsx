/** The overview: how the fleet is, and what needs somebody. */
import type { CampaignStatus, DeviceStatus } from '../protocol/api.ts';
import { type CampaignListItem, CampaignTable } from './campaigns.tsx';
import { count, plural } from './format.ts';
import { Empty } from './parts.tsx';

export interface OverviewData {
  devices: {
    total: number;
    by_status: Record<DeviceStatus, number>;
    by_firmware: { model: string; version: string | null; count: number }[];
  };
  campaigns: CampaignListItem[];
  by_status: Record<CampaignStatus, number>;
  rejected: number;
  mayOperate: boolean;
  now: Date;
}

const Versions = ({ devices }: Pick<OverviewData, 'devices'>) => (
  <ul class="versions">
    {devices.by_firmware.slice(0, 8).map(({ model, version, count: n }) => (
      <li>
        <div class="name">
          <a
            href={`/devices?${new URLSearchParams({ model, ...(version === null ? {} : { firmware: version }) })}`}
          >
            {model} <span class="mono">{version ?? 'unknown'}</span>
          </a>
          <span>{plural(n, 'device')}</span>
        </div>
        <progress max={devices.total} value={n} aria-label={`${model} ${version ?? 'unknown'}`}>
          {n}
        </progress>
      </li>
    ))}
  </ul>
);

/** The counts; they ask for themselves again every few seconds. */
export const Tiles = ({ devices, by_status }: Pick<OverviewData, 'devices' | 'by_status'>) => (
  <section
    id="tiles"
    class="tiles"
    aria-label="Counts"
    hx-get="/overview/tiles"
    hx-trigger="every 5s"
    hx-swap="outerMorph"
  >
    <a class="tile" href="/devices">
      <b>{count(devices.total)}</b>
      <span>devices</span>
    </a>
    <a class="tile" data-tone="good" href="/devices?status=online">
      <b>{count(devices.by_status.online)}</b>
      <span>online</span>
    </a>
    <a class="tile" data-tone="busy" href="/devices?status=updating">
      <b>{count(devices.by_status.updating)}</b>
      <span>updating</span>
    </a>
    <a class="tile" href="/devices?status=offline">
      <b>{count(devices.by_status.offline)}</b>
      <span>offline</span>
    </a>
    <a class="tile" data-tone={by_status.active > 0 ? 'busy' : 'wait'} href="/campaigns?status=active">
      <b>{count(by_status.active)}</b>
      <span>campaigns running</span>
    </a>
    <a class="tile" data-tone={by_status.paused > 0 ? 'bad' : 'wait'} href="/campaigns?status=paused">
      <b>{count(by_status.paused)}</b>
      <span>campaigns paused</span>
    </a>
  </section>
);

export const Overview = ({ devices, campaigns, by_status, rejected, mayOperate, now }: OverviewData) => (
  <>
    <div class="head">
      <h1>Overview</h1>
      {mayOperate ? (
        <a class="button primary" href="/campaigns/new">
          New campaign
        </a>
      ) : null}
    </div>
    <Tiles devices={devices} by_status={by_status} />
    {rejected === 0 ? null : (
      <p class="notice" data-tone="bad">
        {plural(rejected, 'device message')} could not be understood lately:{' '}
        <a href="/rejected-messages">see which, and why</a>.
      </p>
    )}
    {devices.total === 0 ? (
      <section class="panel">
        <Empty>
          <h2>No device has checked in yet</h2>
          <p>
            Register one with <code>POST /api/v1/devices/register</code>, get it an enrolment token, and start{' '}
            <code>skylark-device</code> on it. It appears here with its first heartbeat.
          </p>
        </Empty>
      </section>
    ) : (
      <div class="grid wide">
        <section class="panel">
          <h2>Firmware in the field</h2>
          <Versions devices={devices} />
        </section>
        <section class="panel">
          <h2>Latest campaigns</h2>
          <CampaignTable items={campaigns} now={now} make={mayOperate ? '/campaigns/new' : undefined} />
        </section>
      </div>
    )}
  </>
);
