/** The fleet's settings, the bridges that are there, and who changed what. */
import type { BridgeState } from '../protocol/bridge.ts';
import type { Settings, SettingsChange, VersionedSettings } from '../protocol/settings.ts';
import { Empty, Field, type FieldErrors, When } from './parts.tsx';

export interface SettingsData {
  current: VersionedSettings;
  history: SettingsChange[];
  bridges: { holder: string; since: string; renewed_at: string; state: BridgeState }[];
  mayChange: boolean;
  problem: string | undefined;
  errors: FieldErrors | undefined;
  /** The form as it was sent, where something in it was wrong. */
  sent: Record<string, string> | undefined;
  saved: boolean;
  now: Date;
}

type NumberOf<Part> = {
  [Name in keyof Part]: Part[Name] extends number | undefined ? Name : never;
}[keyof Part];

const FLEET: { name: NumberOf<Settings> & string; label: string; help: string; min: number; max?: number }[] =
  [
    { name: 'offline_after_s', label: 'Offline after', help: 'Seconds of silence.', min: 5, max: 86_400 },
    {
      name: 'command_expiry_s',
      label: 'Commands expire after',
      help: 'Seconds; what a device has not got by then is dropped.',
      min: 10,
      max: 2_592_000,
    },
    { name: 'download_link_s', label: 'Download links last', help: 'Seconds.', min: 60, max: 86_400 },
    {
      name: 'archive_after_days',
      label: 'Campaigns are archived after',
      help: 'Days since they ended; then they can only be read.',
      min: 1,
      max: 3650,
    },
    {
      name: 'keep_history_months',
      label: "Devices' history is kept for",
      help: 'Whole months, by the time each device said; 0 keeps it for good.',
      min: 0,
      max: 1200,
    },
    { name: 'max_firmware_bytes', label: 'Largest firmware', help: 'Bytes.', min: 1 },
  ];

type Defaults = Required<Settings['campaign_defaults']>;
const DEFAULTS: { name: NumberOf<Defaults> & string; label: string; help: string; usual: number }[] = [
  { name: 'failure_threshold', label: 'Stop above', help: 'Percent of a stage failed.', usual: 10 },
  { name: 'max_concurrent', label: 'At most at a time', help: 'Updates under way.', usual: 1000 },
  { name: 'rate_per_minute', label: 'At most a minute', help: 'Updates begun.', usual: 10_000 },
  { name: 'update_timeout_s', label: 'A device may take', help: 'Seconds.', usual: 3600 },
  { name: 'max_attempts', label: 'Attempts', help: 'For each device.', usual: 1 },
];

const flagText = (flags: Settings['feature_flags']): string =>
  Object.entries(flags)
    .map(([name, on]) => `${name}=${on ? 'on' : 'off'}`)
    .join('\n');

const Form = ({ current, mayChange, problem, errors, sent, saved }: SettingsData) => {
  const { version, settings } = current;
  const chosen = (name: string, now: string): string => (sent === undefined ? now : (sent[name] ?? ''));
  const onFailure = chosen('campaign_defaults.on_failure', settings.campaign_defaults.on_failure ?? '');
  const disabled = !mayChange;
  return (
    <form class="stack" method="post" action="/settings">
      <input type="hidden" name="version" value={sent?.version ?? String(version)} />
      {problem === undefined ? null : (
        <p class="notice" data-tone="bad" role="alert">
          {problem}
        </p>
      )}
      {saved ? (
        <p class="notice" data-tone="good" role="status">
          Saved. Every part of the fleet has been told.
        </p>
      ) : null}
      <fieldset disabled={disabled}>
        <legend>Fleet</legend>
        <div class="pair">
          {FLEET.map(({ name, label, help, min, max }) => (
            <Field name={name} label={label} help={help} errors={errors}>
              {(attributes) => (
                <input
                  {...attributes}
                  type="number"
                  required
                  min={min}
                  {...(max === undefined ? {} : { max })}
                  value={chosen(name, String(settings[name]))}
                />
              )}
            </Field>
          ))}
          <Field
            name="approve_first"
            label="A device that registers itself"
            help="One that waits takes part in no campaign."
            errors={errors}
          >
            {(attributes) => (
              <select {...attributes}>
                <option value="false">is taken at once</option>
                <option
                  value="true"
                  selected={chosen('approve_first', String(settings.approve_first)) === 'true'}
                >
                  waits for approval
                </option>
              </select>
            )}
          </Field>
        </div>
      </fieldset>
      <fieldset disabled={disabled}>
        <legend>New campaigns</legend>
        <p class="help">What a campaign has where its maker says nothing. Empty: the built-in value.</p>
        <div class="pair">
          {DEFAULTS.map(({ name, label, help, usual }) => (
            <Field name={`campaign_defaults.${name}`} label={label} help={help} errors={errors}>
              {(attributes) => (
                <input
                  {...attributes}
                  type="number"
                  min="0"
                  step="any"
                  placeholder={String(usual)}
                  value={chosen(`campaign_defaults.${name}`, String(settings.campaign_defaults[name] ?? ''))}
                />
              )}
            </Field>
          ))}
          <Field name="approve_campaigns" label="A campaign starts" errors={errors}>
            {(attributes) => (
              <select {...attributes}>
                <option value="false">when its maker says so</option>
                <option
                  value="true"
                  selected={chosen('approve_campaigns', String(settings.approve_campaigns)) === 'true'}
                >
                  when a second person has approved it
                </option>
              </select>
            )}
          </Field>
          <Field name="campaign_defaults.on_failure" label="When it stops" errors={errors}>
            {(attributes) => (
              <select {...attributes}>
                <option value="">built in: pause</option>
                <option value="pause" selected={onFailure === 'pause'}>
                  pause
                </option>
                <option value="rollback" selected={onFailure === 'rollback'}>
                  go back
                </option>
              </select>
            )}
          </Field>
        </div>
      </fieldset>
      <fieldset disabled={disabled}>
        <legend>Feature flags</legend>
        <Field name="feature_flags" label="One a line" help="name=on or name=off" errors={errors}>
          {(attributes) => (
            <textarea {...attributes} rows={3} spellcheck={false}>
              {chosen('feature_flags', flagText(settings.feature_flags))}
            </textarea>
          )}
        </Field>
      </fieldset>
      {mayChange ? (
        <div class="actions">
          <button class="primary">Save</button>
        </div>
      ) : (
        <p class="soft">Only an administrator may change these.</p>
      )}
    </form>
  );
};

const Bridges = ({ bridges, now }: SettingsData) => (
  <section class="panel">
    <h2>Bridges</h2>
    {bridges.length === 0 ? (
      <Empty>
        <p>
          No bridge is there. Devices are not heard over MQTT, and commands wait; nothing is judged offline
          meanwhile.
        </p>
      </Empty>
    ) : (
      <div class="scroll" tabindex={0} role="region" aria-label="Bridges">
        <table>
          <thead>
            <tr>
              <th>Bridge</th>
              <th>Broker</th>
              <th class="number">Delivered</th>
              <th class="number">Waiting</th>
              <th class="number">Oldest</th>
              <th>Since</th>
              <th>Heard</th>
            </tr>
          </thead>
          <tbody>
            {bridges.map(({ holder, since, renewed_at, state }) => (
              <tr>
                <td class="mono">{holder}</td>
                <td>{state.mqtt === null ? 'not connected' : `MQTT ${state.mqtt}`}</td>
                <td class="number">{state.delivered}</td>
                <td class="number">{state.window}</td>
                <td class="number">{state.lag_s.toFixed(1)} s</td>
                <td>
                  <When at={since} now={now} />
                </td>
                <td>
                  <When at={renewed_at} now={now} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    )}
  </section>
);

const History = ({ history, now }: SettingsData) => (
  <section class="panel">
    <h2>Changes</h2>
    {history.length === 0 ? (
      <p class="soft">Nothing has been changed yet: everything is as it comes.</p>
    ) : (
      <ol class="timeline">
        {history.map(({ version, at, actor, change }) => (
          <li data-tone="wait">
            <span>
              Version {version} by {actor}
            </span>
            <When at={at} now={now} />
            <span class="soft mono whole">{change}</span>
          </li>
        ))}
      </ol>
    )}
  </section>
);

export const SettingsPage = (data: SettingsData) => (
  <>
    <div class="head">
      <div>
        <h1>Settings</h1>
        <p class="sub">For the whole fleet. A change holds at once, everywhere.</p>
      </div>
      {data.mayChange ? (
        <div class="actions">
          <a class="button" href="/settings/access">
            People and API keys
          </a>
          <a class="button" href="/settings/audit-log">
            Audit log
          </a>
        </div>
      ) : null}
    </div>
    <section class="panel">
      <Form {...data} />
    </section>
    <Bridges {...data} />
    <History {...data} />
  </>
);
