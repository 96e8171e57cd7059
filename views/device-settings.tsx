/** A device's settings: as it has them, and as they are asked for. */
import type { ConfigEntry, Device } from '../protocol/api.ts';
import { Field, type FieldErrors, When } from './parts.tsx';

/** A form that was wrong, as it was sent. */
export interface SentForm {
  values: Record<string, string>;
  errors: FieldErrors;
}

/** What the device has told, and what it was asked for. */
export const SettingsTable = ({ config, now }: { config: ConfigEntry[]; now: Date }) =>
  config.length === 0 ? (
    <p class="soft">The device has not told any setting yet.</p>
  ) : (
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
              <td>
                <Asked entry={entry} now={now} />
              </td>
              <td>
                <When at={entry.updated_at} now={now} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );

/** What was asked for and is not confirmed. */
const Asked = ({ entry, now }: { entry: ConfigEntry; now: Date }) => {
  if (entry.pending_value === null) return <span class="soft">–</span>;
  const expired = entry.state === 'expired';
  return (
    <>
      <span class="mono">{entry.pending_value}</span>{' '}
      <span class="badge" data-tone={expired ? 'bad' : 'busy'}>
        {expired ? 'not confirmed' : 'pending'}
      </span>{' '}
      {expired ? (
        <span class="soft">
          expired <When at={entry.pending_until} now={now} />
        </span>
      ) : null}
    </>
  );
};

/** Asks the device for one. */
export const SettingsForm = ({ device, sent }: { device: Device; sent: SentForm | undefined }) => (
  <form class="filters" method="post" action={`/devices/${device.serial_no}/config`}>
    <Field name="key" label="Setting" errors={sent?.errors}>
      {(attributes) => (
        <input
          {...attributes}
          required
          maxlength={128}
          placeholder="poll_interval"
          value={sent?.values.key ?? ''}
        />
      )}
    </Field>
    <Field name="value" label="New value" errors={sent?.errors}>
      {(attributes) => (
        <input
          {...attributes}
          required
          maxlength={4096}
          placeholder="300s"
          value={sent?.values.value ?? ''}
        />
      )}
    </Field>
    <button>Ask the device</button>
  </form>
);
