/** One device: how it is, why, and what happened to it. */
import type { ConfigEntry, Device, DeviceEvent, DeviceUpdate } from '../protocol/api.ts';
import { type SentForm, SettingsForm, SettingsTable } from './device-settings.tsx';
import { Timeline } from './device-timeline.tsx';
import { text } from './format.ts';
import { Action, AskFirst, Badge, Field, When } from './parts.tsx';

export interface DeviceData {
  device: Device;
  updates: DeviceUpdate[];
  events: DeviceEvent[];
  config: ConfigEntry[];
  mayOperate: boolean;
  sent?: SentForm | undefined;
  now: Date;
}

const LabelsForm = ({ device, sent }: Pick<DeviceData, 'device' | 'sent'>) => {
  const values = sent?.values ?? { group: device.group ?? '', tags: device.tags.join(', ') };
  return (
    <form class="filters" method="post" action={`/devices/${device.serial_no}/labels`}>
      <Field name="group" label="Group" errors={sent?.errors}>
        {(attributes) => <input {...attributes} maxlength={64} value={values.group ?? ''} />}
      </Field>
      <Field name="tags" label="Tags, separated by commas" errors={sent?.errors}>
        {(attributes) => <input {...attributes} value={values.tags ?? ''} />}
      </Field>
      <button>Save</button>
    </form>
  );
};

/** Why the device stands where it stands, in a sentence. */
function situation(device: Device, latest: DeviceUpdate | undefined): string {
  const { approved, decommissioned, revoked, target_version, status, current_firmware } = device;
  if (decommissioned) return 'It is out of service for good.';
  if (!approved)
    return 'It registered itself and waits for approval: until then no campaign has it, and it takes no commands.';
  if (revoked) return 'Its certificate is revoked: it can neither connect nor download.';
  if (target_version !== null)
    return `It is being taken from ${current_firmware ?? 'unknown'} to ${target_version}.`;
  if (status === 'offline') return 'It has not been heard from lately. Offers wait until it is.';
  if (latest?.status === 'failed' || latest?.status === 'rollback')
    return `Its latest update, to ${latest.to_version}, ${latest.status === 'failed' ? 'failed' : 'was rolled back'}.`;
  return 'No update is due.';
}

const Facts = ({ device, now }: Pick<DeviceData, 'device' | 'now'>) => {
  const readings = [
    device.state,
    device.battery === null ? null : `battery ${device.battery} %`,
    device.temperature === null ? null : `${device.temperature} °C`,
  ].filter((reading) => reading !== null);
  return (
    <section class="panel">
      <h2>Facts</h2>
      <dl class="facts">
        <dt>Firmware</dt>
        <dd class="mono">{device.current_firmware ?? 'unknown'}</dd>
        <dt>Model</dt>
        <dd>{device.model}</dd>
        <dt>Readings</dt>
        <dd>{readings.length === 0 ? '–' : readings.join(', ')}</dd>
        <dt>Group</dt>
        <dd>{device.group ?? '–'}</dd>
        <dt>Tags</dt>
        <dd>{device.tags.length === 0 ? '–' : device.tags.join(', ')}</dd>
        {Object.entries(device.apps).map(([name, version]) => (
          <>
            <dt>App {name}</dt>
            <dd class="mono">{version}</dd>
          </>
        ))}
        {Object.entries(device.metadata).map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd>{text(value)}</dd>
          </>
        ))}
        <dt>Last seen</dt>
        <dd>
          <When at={device.last_seen} now={now} />
        </dd>
        <dt>Registered</dt>
        <dd>
          <When at={device.created_at} now={now} />
        </dd>
        <dt>ID</dt>
        <dd class="mono">{device.id}</dd>
      </dl>
    </section>
  );
};

const Updates = ({ updates }: Pick<DeviceData, 'updates'>) => (
  <section class="panel">
    <h2>Updates</h2>
    {updates.length === 0 ? <p class="soft">No campaign has had this device yet.</p> : null}
    <ol class="timeline">
      {updates.map((update) => (
        <li data-tone={update.error === null ? 'wait' : 'bad'}>
          <a href={`/campaigns/${update.campaign_id}/devices/${update.serial_no}`}>
            {update.campaign_name ?? update.campaign_id}
          </a>
          <Badge state={update.status} />
          <span class="soft">
            {update.from_version ?? 'unknown'} → {update.to_version}
            {update.error === null ? '' : ` · ${update.detail ?? update.error}`}
          </span>
        </li>
      ))}
    </ol>
  </section>
);

/** Everything of the page that changes by itself. */
export const DeviceLive = ({
  device,
  updates,
  events,
  config,
  now,
}: Omit<DeviceData, 'mayOperate' | 'sent'>) => (
  <div id="device-live" class="live">
    <p>
      <Badge state={device.status} /> {situation(device, updates[0])}
    </p>
    <div class="grid">
      <Facts device={device} now={now} />
      <Updates updates={updates} />
    </div>
    <section class="panel">
      <h2>Settings</h2>
      <SettingsTable config={config} now={now} />
    </section>
    <section class="panel">
      <h2>Timeline</h2>
      <Timeline events={events} now={now} />
    </section>
  </div>
);

/** The message that says the device's page is no longer up to date: it fetches what changes. */
export function deviceChanged(serialNo: string): string {
  return String(
    <hx-partial hx-target="#device-changed" hx-swap="innerHTML">
      <span
        hx-get={`/devices/${serialNo}`}
        hx-trigger="load delay:200ms"
        hx-target="#device-live"
        hx-swap="outerMorph"
      />
    </hx-partial>,
  );
}

/** What was sent, where it was the form with these fields. */
const wrongIn = (sent: DeviceData['sent'], ...fields: string[]) =>
  sent?.errors.some(({ field }) => fields.some((name) => field === name || field.startsWith(`${name}.`)))
    ? sent
    : undefined;

export const DevicePage = ({ mayOperate, sent, ...live }: DeviceData) => {
  const { device } = live;
  const takesCommands = mayOperate && device.approved && !device.revoked;
  return (
    <>
      <div class="head">
        <h1>{device.serial_no}</h1>
        <div class="actions">
          {mayOperate && !device.approved ? (
            <Action to={`/devices/${device.serial_no}/approve`} kind="primary">
              Approve
            </Action>
          ) : null}
          {takesCommands ? <Action to={`/devices/${device.serial_no}/reboot`}>Reboot</Action> : null}
          {mayOperate && !device.revoked ? (
            <AskFirst
              to={`/devices/${device.serial_no}/revoke`}
              label="Revoke"
              question="Its certificate stops working at once. The device has to enrol anew before it can connect again."
            />
          ) : null}
          {mayOperate && !device.decommissioned ? (
            <AskFirst
              to={`/devices/${device.serial_no}/decommission`}
              label="Decommission"
              question="It goes out of service for good: its certificate stops working, lists and campaigns leave it out. Its history stays."
            />
          ) : null}
        </div>
      </div>
      <div class="visually-hidden" hx-ws:connect={`/live/devices/${device.serial_no}`} hx-swap="none" />
      <div id="device-changed" hidden />
      <DeviceLive {...live} />
      {takesCommands ? (
        <section class="panel">
          <h2>Change a setting</h2>
          <SettingsForm device={device} sent={wrongIn(sent, 'key', 'value')} />
        </section>
      ) : null}
      {mayOperate ? (
        <section class="panel">
          <h2>Group and tags</h2>
          <LabelsForm device={device} sent={wrongIn(sent, 'group', 'tags')} />
        </section>
      ) : null}
    </>
  );
};
