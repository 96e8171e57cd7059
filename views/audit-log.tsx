/** Who did what, and who was not allowed to. */
import type { AuditRecord } from '../protocol/audit.ts';
import { Empty, Moment, Pager } from './parts.tsx';

export interface AuditData {
  records: AuditRecord[];
  next: string | null;
  /** The filters as they stand in the address. */
  query: Record<string, string>;
}

const FIELDS = [
  ['actor', 'Who', 'user:ada@example.com'],
  ['action', 'What', 'campaign.start'],
  ['subject', 'To what', 'an ID or a serial number'],
] as const;

const Filters = ({ query }: { query: Record<string, string> }) => (
  <form class="filters" action="/settings/audit-log" method="get" role="search">
    {FIELDS.map(([name, label, example]) => (
      <div class="field">
        <label for={name}>{label}</label>
        <input id={name} name={name} value={query[name] ?? ''} placeholder={example} autocomplete="off" />
      </div>
    ))}
    <div class="field">
      <label for="allowed">Outcome</label>
      <select id="allowed" name="allowed">
        <option value="">any</option>
        <option value="true" selected={query.allowed === 'true'}>
          done
        </option>
        <option value="false" selected={query.allowed === 'false'}>
          not allowed
        </option>
      </select>
    </div>
    <button>Filter</button>
  </form>
);

/** The page of what was done something to, where it has one of its own. */
function pageOf({ action, subject, allowed }: AuditRecord): string | undefined {
  const thing = action.split('.')[0];
  if (!allowed || action.endsWith('.delete')) return undefined;
  if (thing === 'campaign') return `/campaigns/${subject}`;
  return thing === 'device' && action !== 'device.import'
    ? `/devices/${encodeURIComponent(subject)}`
    : undefined;
}

/** A permission that was missing, or a password that was wrong. */
const refusalOf = ({ action }: AuditRecord): string =>
  action.includes(' ') ? 'was not allowed: it needs ' : 'was refused: ';

const Entry = ({ record }: { record: AuditRecord }) => {
  const to = pageOf(record);
  return (
    <li data-tone={record.allowed ? 'wait' : 'bad'}>
      <span class="wrap">
        <span class="mono">{record.action}</span> {record.allowed ? null : refusalOf(record)}
        {to === undefined ? record.subject : <a href={to}>{record.subject}</a>} by {record.actor}
      </span>
      <Moment at={record.at} />
      {Object.keys(record.detail).length === 0 ? null : (
        <span class="soft mono whole">{JSON.stringify(record.detail)}</span>
      )}
    </li>
  );
};

export const AuditLog = ({ records, next, query }: AuditData) => (
  <>
    <div class="head">
      <div>
        <h1>Audit log</h1>
        <p class="sub">
          <a href="/settings">Settings</a>: who did what, and who was not allowed to. Nothing is ever taken
          out.
        </p>
      </div>
    </div>
    <Filters query={query} />
    <section class="panel">
      {records.length === 0 ? (
        <Empty>
          <p>{Object.keys(query).length === 0 ? 'Nothing was done yet.' : 'Nothing fits these filters.'}</p>
        </Empty>
      ) : (
        <ol class="timeline" data-exact>
          {records.map((record) => (
            <Entry record={record} />
          ))}
        </ol>
      )}
      <Pager path="/settings/audit-log" query={query} next={next} />
    </section>
  </>
);
