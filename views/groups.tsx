/** Groups: the list, one group, and the form that makes one. */
import type { Group, Page } from '../protocol/api.ts';
import { count } from './format.ts';
import { AskFirst, Empty, Field, type FieldErrors, Pager } from './parts.tsx';

/** Its beginning: the whole of it is on the group's own page. */
const shortened = (text: string): string => (text.length <= 200 ? text : `${text.slice(0, 199)}…`);

/** A rule in words. */
function ruleWords({ rule }: Group): string {
  if (rule === null) return 'devices chosen one by one';
  return [
    rule.model === undefined ? undefined : `model ${rule.model}`,
    rule.fw_version === undefined ? undefined : `running ${rule.fw_version}`,
    rule.tags === undefined ? undefined : `tagged ${rule.tags.join(' or ')}`,
    rule.serial_prefix === undefined ? undefined : `serial number ${rule.serial_prefix}…`,
    ...Object.entries(rule.metadata ?? {}).map(([key, value]) => `${key} = ${value}`),
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

export const Groups = ({
  list,
  query,
  mayOperate,
}: {
  list: Page<Group>;
  query: Record<string, string>;
  mayOperate: boolean;
}) => (
  <>
    <div class="head">
      <h1>Groups</h1>
      {mayOperate ? (
        <a class="button primary" href="/groups/new">
          New group
        </a>
      ) : null}
    </div>
    <section class="panel">
      {list.items.length === 0 ? (
        <Empty>
          <p>No groups yet. A group is a set of devices to filter by and to aim campaigns at.</p>
        </Empty>
      ) : (
        <div class="scroll" tabindex={0} role="region" aria-label="Groups">
          <table>
            <thead>
              <tr>
                <th>Group</th>
                <th>Has</th>
                <th>Description</th>
              </tr>
            </thead>
            <tbody>
              {list.items.map((group) => (
                <tr>
                  <td class="name">
                    <a href={`/groups/${encodeURIComponent(group.name)}`}>{group.name}</a>
                  </td>
                  <td class="wrap">{ruleWords(group)}</td>
                  <td class="wrap">{shortened(group.description)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Pager path="/groups" query={query} next={list.next_cursor} />
    </section>
  </>
);

export const GroupPage = ({
  group,
  devices,
  mayOperate,
  problem,
}: {
  group: Group;
  devices: number;
  mayOperate: boolean;
  problem: string | undefined;
}) => {
  const here = `/groups/${encodeURIComponent(group.name)}`;
  return (
    <>
      <div class="head">
        <div>
          <h1>{group.name}</h1>
          <p class="sub">{group.description === '' ? ruleWords(group) : group.description}</p>
        </div>
        <div class="actions">
          {mayOperate ? (
            <AskFirst
              to={`${here}/delete`}
              label="Delete"
              question="Its devices stay, in no group. Campaigns that are over keep its name."
            />
          ) : null}
        </div>
      </div>
      {problem === undefined ? null : (
        <p class="notice" data-tone="bad" role="alert">
          {problem}
        </p>
      )}
      <section class="panel">
        <dl class="facts">
          <dt>Devices</dt>
          <dd>
            <a href={`/devices?group=${encodeURIComponent(group.name)}`}>{count(devices)}</a>
          </dd>
          <dt>Has</dt>
          <dd>{ruleWords(group)}</dd>
        </dl>
      </section>
      {mayOperate && group.kind === 'static' ? (
        <section class="panel">
          <h2>Put devices in, or take them out</h2>
          <form class="stack" method="post" action={`${here}/devices`}>
            <Field name="serial_nos" label="Serial numbers" help="Separated by commas or lines.">
              {(attributes) => <textarea {...attributes} rows={4} required spellcheck={false} />}
            </Field>
            <div class="actions">
              <button name="do" value="join">
                Put in
              </button>
              <button name="do" value="leave">
                Take out
              </button>
            </div>
          </form>
        </section>
      ) : null}
    </>
  );
};

export const GroupForm = ({
  values,
  errors,
  models,
}: {
  values: Record<string, string>;
  errors: FieldErrors | undefined;
  models: string[];
}) => (
  <>
    <div class="head">
      <div>
        <h1>New group</h1>
        <p class="sub">With a rule it always has the devices that fit; without one you put devices in.</p>
      </div>
    </div>
    <section class="panel">
      <form class="stack" method="post" action="/groups/new">
        {errors === undefined ? null : (
          <p class="notice" data-tone="bad" role="alert">
            {errors.find(({ field }) => field === '' || field === 'rule')?.message ??
              'Some fields are missing or wrong.'}
          </p>
        )}
        <div class="pair">
          <Field name="name" label="Name" errors={errors}>
            {(attributes) => <input {...attributes} required maxlength={64} value={values.name ?? ''} />}
          </Field>
          <Field name="description" label="Description" errors={errors}>
            {(attributes) => <input {...attributes} maxlength={1000} value={values.description ?? ''} />}
          </Field>
        </div>
        <fieldset>
          <legend>Rule</legend>
          <p class="help">Devices for which all of this holds. Leave it empty for a group by hand.</p>
          <div class="pair">
            <Field name="rule.model" label="Model" errors={errors}>
              {(attributes) => (
                <select {...attributes}>
                  <option value="">any</option>
                  {models.map((model) => (
                    <option value={model} selected={values['rule.model'] === model}>
                      {model}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <Field name="rule.fw_version" label="Running version" help='Such as "< v1.1.0".' errors={errors}>
              {(attributes) => (
                <input {...attributes} value={values['rule.fw_version'] ?? ''} placeholder="any" />
              )}
            </Field>
            <Field name="rule.tags" label="Tags" help="Separated by commas; one is enough." errors={errors}>
              {(attributes) => <input {...attributes} value={values['rule.tags'] ?? ''} placeholder="any" />}
            </Field>
            <Field name="rule.serial_prefix" label="Serial number begins with" errors={errors}>
              {(attributes) => (
                <input {...attributes} value={values['rule.serial_prefix'] ?? ''} placeholder="any" />
              )}
            </Field>
            <Field
              name="rule.metadata"
              label="Metadata"
              help="key=value, separated by commas."
              errors={errors}
            >
              {(attributes) => (
                <input {...attributes} value={values['rule.metadata'] ?? ''} placeholder="any" />
              )}
            </Field>
          </div>
        </fieldset>
        <div class="actions">
          <button class="primary">Make the group</button>
          <a href="/groups">Back</a>
        </div>
      </form>
    </section>
  </>
);
