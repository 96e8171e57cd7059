/** The list of devices, and one device. */
import {
  type ConfigEntry,
  DEVICE_STATUSES,
  type Device,
  type DeviceEvent,
  type DeviceUpdate,
  type Page,
} from '../protocol/api.ts';
import { absolute } from './format.ts';
import { Action, AskFirst, Badge, Empty, Pager, type Tone, When } from './parts.tsx';

export interface DeviceListData {
  list: Page<Device>;
  /** The filters in force, as they stand in the address. */
  query: Record<string, string>;
  models: string[];
  now: Date;
}

export const DeviceRows = ({ list, query, now }: Omit<DeviceListData, 'models'>) => (
  <section class="panel" id="rows">
    {list.items.length === 0 ? (
      <Empty>
        <p>
          No device matches.{' '}
          {Object.keys(query).length === 0 ? null : <a href="/devices">Show all devices</a>}
        </p>
      </Empty>
    ) : (
      <div class="scroll" tabindex={0} role="region" aria-label="Devices">
        <table>
          <thead>
            <tr>
              <th>Serial number</th>
              <th>Status</th>
              <th>Firmware</th>
              <th>Model</th>
              <th>Group</th>
              <th>Last seen</th>
            </tr>
          </thead>
          <tbody>
            {list.items.map((d) => (
              <tr>
                <td>
                  <a href={`/devices/${d.serial_no}`}>{d.serial_no}</a>
                </td>
                <td>
                  <Badge state={d.status} />
                </td>
                <td class="mono">
                  {d.current_firmware ?? '–'}
                  {d.target_version === null ? null : ` → ${d.target_version}`}
                </td>
                <td>{d.model}</td>
                <td>{d.group ?? '–'}</td>
                <td>
                  <When at={d.last_seen} now={now} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    )}
    <Pager path="/devices" query={query} next={list.next_cursor} />
  </section>
);

export const Devices = ({ list, query, models, now }: DeviceListData) => (
  <>
    <div class="head">
      <h1>Devices</h1>
    </div>
    <form class="filters" action="/devices" method="get" role="search">
      <div class="field">
        <label for="q">Serial number begins with</label>
        <input
          id="q"
          type="search"
          name="q"
          value={query.q ?? ''}
          autocomplete="off"
          hx-get="/devices"
          hx-include="closest form"
          hx-trigger="input changed delay:250ms, search"
          hx-target="#rows"
          hx-swap="outerHTML"
          hx-replace-url="true"
          hx-sync="this:replace"
        />
      </div>
      <div class="field">
        <label for="status">Status</label>
        <select id="status" name="status">
          <option value="">any</option>
          {DEVICE_STATUSES.map((status) => (
            <option value={status} selected={query.status === status}>
              {status}
            </option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="model">Model</label>
        <select id="model" name="model">
          <option value="">any</option>
          {models.map((model) => (
            <option value={model} selected={query.model === model}>
              {model}
            </option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="firmware">Firmware</label>
        <input id="firmware" name="firmware" value={query.firmware ?? ''} placeholder="v1.0.0" />
      </div>
      <button>Filter</button>
    </form>
    <DeviceRows list={list} query={query} now={now} />
  </>
);

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
