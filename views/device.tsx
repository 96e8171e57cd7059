/** One device: how it is, why, and what happened to it. */
import type { ConfigEntry, Device, DeviceEvent, DeviceUpdate } from '../protocol/api.ts';
import { absolute } from './format.ts';
import { Action, AskFirst, Badge, Empty, type Tone, When } from './parts.tsx';

export interface DeviceData {
  device: Device;
  updates: DeviceUpdate[];
  events: DeviceEvent[];
  config: ConfigEntry[];
  mayOperate: boolean;
  now: Date;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** One line a person understands, out of an event. */
function describe({ kind, detail }: DeviceEvent): { title: string; more: string; tone: Tone } {
  switch (kind) {
    case 'update': {
      const status = text(detail.status ?? '');
      const failed = status === 'failed' || status === 'rollback';
      const more = [detail.error, detail.detail]
        .filter((part) => part !== undefined && part !== null)
        .map(text);
      const title = status === 'rollback' ? 'Update rolled back' : `Update ${status}`;
      return {
        title,
        more: more.join(': '),
        tone: failed ? 'bad' : status === 'completed' ? 'good' : 'busy',
      };
    }
    case 'setting':
      return {
        title: `Setting ${text(detail.setting_changed)}`,
        more: `${text(detail.old_value ?? '–')} → ${text(detail.new_value)}`,
        tone: 'wait',
      };
    case 'command':
      return { title: `Command ${text(detail.command)} sent`, more: '', tone: 'wait' };
    case 'certificate':
      return {
        title: 'Certificate issued',
        more: `good until ${absolute(text(detail.not_after))}`,
        tone: 'good',
      };
    default:
      return { title: kind, more: text(detail), tone: 'wait' };
  }
}

const Timeline = ({ events, now }: { events: DeviceEvent[]; now: Date }) =>
  events.length === 0 ? (
    <Empty>
      <p>Nothing has happened yet.</p>
    </Empty>
  ) : (
    <ol class="timeline">
      {events.map((event) => {
        const { title, more, tone } = describe(event);
        return (
          <li data-tone={tone}>
            <span>{title}</span>
            <When at={event.at} now={now} />
            {more === '' ? null : <span class="soft">{more}</span>}
          </li>
        );
      })}
    </ol>
  );

const Settings = ({ device, config, mayOperate, now }: Omit<DeviceData, 'updates' | 'events'>) => (
  <section class="panel">
    <h2>Settings</h2>
    {config.length === 0 ? <p class="soft">The device has not told any setting yet.</p> : null}
    {config.length === 0 ? null : (
      <div class="scroll" tabindex={0} role="region" aria-label="Settings">
        <table>
          <thead>
            <tr>
              <th>Setting</th>
              <th>Value</th>
              <th>Asked for</th>
              <th>Changed</th>
            </tr>
          </thead>
          <tbody>
            {config.map((entry) => (
              <tr>
                <td class="mono">{entry.key}</td>
                <td class="mono">{entry.value ?? '–'}</td>
                <td class="mono">
                  {entry.pending_value === null ? '–' : `${entry.pending_value} (${entry.state})`}
                </td>
                <td>
                  <When at={entry.updated_at} now={now} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    )}
    {mayOperate ? (
      <form class="filters" method="post" action={`/devices/${device.serial_no}/config`}>
        <div class="field">
          <label for="key">Setting</label>
          <input id="key" name="key" required maxlength={128} placeholder="poll_interval" />
        </div>
        <div class="field">
          <label for="value">New value</label>
          <input id="value" name="value" required maxlength={4096} placeholder="300s" />
        </div>
        <button>Ask the device</button>
      </form>
    ) : null}
  </section>
);

/** Why the device stands where it stands, in a sentence. */
function situation({ revoked, target_version, status, current_firmware }: Device): string {
  if (revoked) return 'Its certificate is revoked: it can neither connect nor download.';
  if (target_version !== null)
    return `It is being taken from ${current_firmware ?? 'unknown'} to ${target_version}.`;
  if (status === 'offline') return 'It has not been heard from lately. Offers wait until it is.';
  return 'It runs what it should.';
}

export const DevicePage = ({ device, updates, events, config, mayOperate, now }: DeviceData) => (
  <>
    <div class="head">
      <div>
        <h1>{device.serial_no}</h1>
        <p class="sub">{situation(device)}</p>
      </div>
      <div class="actions">
        <Badge state={device.status} />
        {mayOperate && !device.revoked ? (
          <>
            <Action to={`/devices/${device.serial_no}/reboot`}>Reboot</Action>
            <AskFirst
              to={`/devices/${device.serial_no}/revoke`}
              label="Revoke"
              question="Its certificate stops working at once. The device has to enrol anew before it can connect again."
            />
          </>
        ) : null}
      </div>
    </div>
    <div class="grid">
      <section class="panel">
        <h2>Facts</h2>
        <dl class="facts">
          <dt>Firmware</dt>
          <dd class="mono">{device.current_firmware ?? 'unknown'}</dd>
          <dt>Model</dt>
          <dd>{device.model}</dd>
          <dt>Group</dt>
          <dd>{device.group ?? '–'}</dd>
          <dt>Tags</dt>
          <dd>{device.tags.length === 0 ? '–' : device.tags.join(', ')}</dd>
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
      <section class="panel">
        <h2>Updates</h2>
        {updates.length === 0 ? <p class="soft">No campaign has had this device yet.</p> : null}
        <ol class="timeline">
          {updates.map((update) => (
            <li data-tone={update.error === null ? 'wait' : 'bad'}>
              <a href={`/campaigns/${update.campaign_id}`}>{update.campaign_name ?? update.campaign_id}</a>
              <Badge state={update.status} />
              <span class="soft">
                {update.from_version ?? 'unknown'} → {update.to_version}
                {update.error === null ? '' : ` · ${update.detail ?? update.error}`}
              </span>
            </li>
          ))}
        </ol>
      </section>
    </div>
    <Settings device={device} config={config} mayOperate={mayOperate} now={now} />
    <section class="panel">
      <h2>Timeline</h2>
      <Timeline events={events} now={now} />
    </section>
  </>
);
