/** The list of campaigns, and the form that makes one. */
import type { Campaign, CampaignMetrics, Firmware, Page } from '../protocol/api.ts';
import { CAMPAIGN_STATUSES } from '../protocol/api.ts';
import { firmwareTitle } from '../protocol/target-path.ts';
import { count } from './format.ts';
import { Badge, Empty, Field, type FieldErrors, Pager, StackedBar, When, wordOf } from './parts.tsx';

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

export const CampaignTable = ({ items, now }: { items: CampaignListItem[]; now: Date }) =>
  items.length === 0 ? (
    <Empty>
      <p>
        No campaign yet. <a href="/campaigns/new">Make one</a>
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
              <td>
                <a href={`/campaigns/${c.id}`}>{c.name}</a>
              </td>
              <td>
                <Badge state={c.status} /> {c.archived ? <Badge state="archived" /> : null}
              </td>
              <td class="mono">{c.firmware_version}</td>
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
      <CampaignTable items={list.items} now={now} />
      <Pager path="/campaigns" query={query} next={list.next_cursor} />
    </section>
  </>
);

export interface CampaignFormData {
  values: Record<string, string>;
  firmware: Firmware[];
  errors?: FieldErrors | undefined;
}

const PLANS = [
  ['1,10,50,100', 'Canary: 1 %, 10 %, 50 %, everyone'],
  ['10,50,100', 'Three stages: 10 %, 50 %, everyone'],
  ['5,25,100', 'Careful start: 5 %, 25 %, everyone'],
  ['100', 'Everyone at once'],
] as const;

export const CampaignForm = ({ values, firmware, errors }: CampaignFormData) => (
  <>
    <div class="head">
      <div>
        <h1>New campaign</h1>
        <p class="sub">It is made as a draft: nothing happens before you start it.</p>
      </div>
    </div>
    {firmware.length === 0 ? (
      <p class="notice" data-tone="bad">
        There is no published firmware. <a href="/firmware">Upload and sign one first.</a>
      </p>
    ) : null}
    <section class="panel">
      <form class="stack" method="post" action="/campaigns/new">
        {errors === undefined ? null : (
          <p class="notice" data-tone="bad" role="alert">
            {errors.find(({ field }) => field === '')?.message ?? 'Some fields are missing or wrong.'}
          </p>
        )}
        <div class="pair">
          <Field name="name" label="Name" errors={errors}>
            {(attributes) => <input {...attributes} required maxlength={120} value={values.name ?? ''} />}
          </Field>
          <Field name="firmware_id" label="Firmware" errors={errors}>
            {(attributes) => (
              <select {...attributes} required>
                {firmware.map((f) => (
                  <option value={f.id} selected={values.firmware_id === f.id}>
                    {firmwareTitle(f)}
                  </option>
                ))}
              </select>
            )}
          </Field>
        </div>
        <fieldset>
          <legend>Which devices</legend>
          <p class="help">All devices of the firmware's model, narrowed by what you fill in here.</p>
          <div class="pair">
            <Field
              name="target.fw_version"
              label="Running version"
              help='Such as "< v1.1.0".'
              errors={errors}
            >
              {(attributes) => (
                <input {...attributes} value={values['target.fw_version'] ?? ''} placeholder="any" />
              )}
            </Field>
            <Field name="target.groups" label="Groups" help="Separated by commas." errors={errors}>
              {(attributes) => (
                <input {...attributes} value={values['target.groups'] ?? ''} placeholder="any" />
              )}
            </Field>
          </div>
          <div class="pair">
            <Field name="target.tags" label="Tags" help="One of them is enough." errors={errors}>
              {(attributes) => (
                <input {...attributes} value={values['target.tags'] ?? ''} placeholder="any" />
              )}
            </Field>
            <Field
              name="target.serial_nos"
              label="Serial numbers"
              help="Separated by commas."
              errors={errors}
            >
              {(attributes) => (
                <input {...attributes} value={values['target.serial_nos'] ?? ''} placeholder="any" />
              )}
            </Field>
          </div>
        </fieldset>
        <fieldset>
          <legend>In stages</legend>
          <div class="pair">
            <Field name="stages" label="Plan" errors={errors}>
              {(attributes) => (
                <select {...attributes}>
                  {PLANS.map(([plan, label]) => (
                    <option value={plan} selected={values.stages === plan}>
                      {label}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <Field
              name="success_threshold"
              label="A stage passes at"
              help="Percent completed."
              errors={errors}
            >
              {(attributes) => (
                <input
                  {...attributes}
                  type="number"
                  min="0"
                  max="100"
                  step="any"
                  value={values.success_threshold ?? '95'}
                />
              )}
            </Field>
            <Field
              name="min_duration_s"
              label="and after at least"
              help="Seconds, to watch how it does."
              errors={errors}
            >
              {(attributes) => (
                <input {...attributes} type="number" min="0" value={values.min_duration_s ?? '0'} />
              )}
            </Field>
          </div>
        </fieldset>
        <fieldset>
          <legend>Safety and pace</legend>
          <div class="pair">
            <Field
              name="failure_threshold"
              label="Stop above"
              help="Percent of a stage failed."
              errors={errors}
            >
              {(attributes) => (
                <input
                  {...attributes}
                  type="number"
                  min="0"
                  max="100"
                  step="any"
                  value={values.failure_threshold ?? '10'}
                />
              )}
            </Field>
            <Field
              name="on_failure"
              label="and then"
              help="Going back takes completed devices to what they had."
              errors={errors}
            >
              {(attributes) => (
                <select {...attributes}>
                  <option value="pause">pause</option>
                  <option value="rollback" selected={values.on_failure === 'rollback'}>
                    go back
                  </option>
                </select>
              )}
            </Field>
            <Field name="max_concurrent" label="At most at a time" help="Updates under way." errors={errors}>
              {(attributes) => (
                <input {...attributes} type="number" min="1" value={values.max_concurrent ?? '1000'} />
              )}
            </Field>
            <Field name="rate_per_minute" label="At most a minute" help="Updates begun." errors={errors}>
              {(attributes) => (
                <input {...attributes} type="number" min="1" value={values.rate_per_minute ?? '10000'} />
              )}
            </Field>
            <Field
              name="update_timeout_s"
              label="A device may take"
              help="Seconds; longer counts as failed."
              errors={errors}
            >
              {(attributes) => (
                <input {...attributes} type="number" min="10" value={values.update_timeout_s ?? '3600'} />
              )}
            </Field>
            <Field name="max_attempts" label="Attempts" help="For each device." errors={errors}>
              {(attributes) => (
                <input {...attributes} type="number" min="1" max="20" value={values.max_attempts ?? '1'} />
              )}
            </Field>
          </div>
        </fieldset>
        <div class="actions">
          <button class="primary">Make the draft</button>
          <a href="/campaigns">Back</a>
        </div>
      </form>
    </section>
  </>
);
