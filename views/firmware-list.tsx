/** The list of firmware and apps. */
import { FIRMWARE_KINDS, FIRMWARE_STATES, type Firmware, type Page } from '../protocol/api.ts';
import { size } from './format.ts';
import { Badge, Empty, Pager, When } from './parts.tsx';

export interface FirmwareListData {
  list: Page<Firmware>;
  /** The filters in force, as they stand in the address. */
  query: Record<string, string>;
  models: string[];
  mayUpload: boolean;
  now: Date;
}

export const FirmwareList = ({ list, query, models, mayUpload, now }: FirmwareListData) => (
  <>
    <div class="head">
      <h1>Firmware</h1>
      {mayUpload ? (
        <a class="button primary" href="/firmware/new">
          Upload firmware
        </a>
      ) : null}
    </div>
    <form class="filters" action="/firmware" method="get">
      <Choice name="model" label="Model" options={models} chosen={query.model} />
      <Choice name="kind" label="Kind" options={FIRMWARE_KINDS} chosen={query.kind} />
      <Choice name="state" label="State" options={FIRMWARE_STATES} chosen={query.state} />
      <button>Filter</button>
    </form>
    <section class="panel">
      {list.items.length > 0 ? (
        <Table items={list.items} now={now} />
      ) : models.length === 0 ? (
        <Empty>
          <h2>No firmware yet</h2>
          <p>
            Upload one here, or from CI with{' '}
            <code>npx skylark firmware upload FILE --version v1.0.0 --model MODEL</code>.
          </p>
        </Empty>
      ) : (
        <Empty>
          <p>
            No firmware matches. <a href="/firmware">Show all</a>
          </p>
        </Empty>
      )}
      <Pager path="/firmware" query={query} next={list.next_cursor} />
    </section>
  </>
);

const Choice = ({
  name,
  label,
  options,
  chosen,
}: {
  name: string;
  label: string;
  options: readonly string[];
  chosen: string | undefined;
}) => (
  <div class="field">
    <label for={name}>{label}</label>
    <select id={name} name={name}>
      <option value="">any</option>
      {options.map((option) => (
        <option value={option} selected={chosen === option}>
          {option}
        </option>
      ))}
    </select>
  </div>
);

const Table = ({ items, now }: { items: Firmware[]; now: Date }) => (
  <div class="scroll" tabindex={0} role="region" aria-label="Firmware">
    <table>
      <thead>
        <tr>
          <th>Version</th>
          <th>Model</th>
          <th>State</th>
          <th>Kind</th>
          <th>Uploaded</th>
          <th class="number">Size</th>
        </tr>
      </thead>
      <tbody>
        {items.map((f) => (
          <tr>
            <td>
              <a class="mono" href={`/firmware/${f.id}`}>
                {f.version}
              </a>
            </td>
            <td>{f.model}</td>
            <td>
              <Badge state={f.state} />
              {f.damage === null ? null : (
                <span class="badge" data-tone="bad">
                  damaged
                </span>
              )}
            </td>
            <td>{f.kind === 'app' ? `app ${f.name ?? ''}` : f.kind}</td>
            <td>
              <When at={f.uploaded_at} now={now} />
            </td>
            <td class="number">{size(f.size_bytes)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);
