/** The list of devices. */
import { DEVICE_STATUSES, type Device, type Page } from '../protocol/api.ts';
import { Badge, Empty, Pager, When } from './parts.tsx';

export interface DeviceListData {
  list: Page<Device>;
  /** The filters in force, as they stand in the address. */
  query: Record<string, string>;
  models: string[];
  mayOperate: boolean;
  now: Date;
}

export const DeviceRows = ({ list, query, now }: Omit<DeviceListData, 'models' | 'mayOperate'>) => (
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
                <td class="name">
                  <a href={`/devices/${d.serial_no}`}>{d.serial_no}</a>{' '}
                  {d.approved ? null : (
                    <span class="badge" data-tone="busy">
                      waits for approval
                    </span>
                  )}
                  {d.revoked && !d.decommissioned ? (
                    <span class="badge" data-tone="bad">
                      revoked
                    </span>
                  ) : null}
                </td>
                <td>
                  <Badge state={d.status} />
                </td>
                <td class="mono">
                  {d.current_firmware ?? '–'}
                  {d.target_version === null ? null : ` → ${d.target_version}`}
                </td>
                <td class="name">{d.model}</td>
                <td class="name">{d.group ?? '–'}</td>
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

export const Devices = ({ list, query, models, mayOperate, now }: DeviceListData) => (
  <>
    <div class="head">
      <h1>Devices</h1>
      {mayOperate ? (
        <a class="button" href="/devices/import">
          Import
        </a>
      ) : null}
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
      <div class="field">
        <label for="group">Group</label>
        <input id="group" name="group" value={query.group ?? ''} placeholder="any" />
      </div>
      <div class="field">
        <label for="tag">Tag</label>
        <input id="tag" name="tag" value={query.tag ?? ''} placeholder="any" />
      </div>
      <div class="field">
        <label for="state">Which</label>
        <select id="state" name="state">
          <option value="">in service</option>
          <option value="waiting" selected={query.state === 'waiting'}>
            waiting for approval
          </option>
          <option value="decommissioned" selected={query.state === 'decommissioned'}>
            decommissioned
          </option>
        </select>
      </div>
      <button>Filter</button>
    </form>
    <DeviceRows list={list} query={query} now={now} />
  </>
);
