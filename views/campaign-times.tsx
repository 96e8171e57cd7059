/** When a campaign begins, ends and may update: fields of its form. */
import { DEVICE_ZONE } from '../protocol/api.ts';
import { type FieldValues, Folded, type PolicyFieldsData } from './campaign-fields.tsx';
import { Field } from './parts.tsx';

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

/** How many maintenance windows the values have. */
function windowsIn(values: FieldValues): number {
  const numbers = Object.keys(values).flatMap((name) => /^windows\.(\d+)\./.exec(name)?.[1] ?? []);
  return numbers.length === 0 ? 0 : Math.max(...numbers.map(Number)) + 1;
}

const Window = ({ index, values, errors }: PolicyFieldsData & { index: number }) => {
  const name = (part: string) => `windows.${index}.${part}`;
  return (
    <fieldset>
      <legend>Maintenance window {index + 1}</legend>
      <div class="days">
        {DAYS.map((day) => (
          <label>
            <input type="checkbox" name={name(day)} value="on" checked={values[name(day)] !== undefined} />{' '}
            {day}
          </label>
        ))}
        <span class="soft">none: every day</span>
      </div>
      <div class="pair">
        {(['from', 'to'] as const).map((part) => (
          <Field name={name(part)} label={part === 'from' ? 'From' : 'To'} errors={errors}>
            {(attributes) => <input {...attributes} type="time" value={values[name(part)] ?? ''} />}
          </Field>
        ))}
        <Field
          name={name('time_zone')}
          label="Time zone"
          help={`Such as Europe/Berlin, or "${DEVICE_ZONE}" for each device’s own.`}
          errors={errors}
        >
          {(attributes) => (
            <input {...attributes} list="zones" placeholder="UTC" value={values[name('time_zone')] ?? ''} />
          )}
        </Field>
      </div>
    </fieldset>
  );
};

export const TimeFields = ({ values, errors }: PolicyFieldsData) => {
  const windows = windowsIn(values);
  const held = [
    values.start_at === undefined
      ? 'begins when it is started'
      : `begins ${values.start_at.replace('T', ' ')} UTC`,
    windows === 0 ? 'at all hours' : windows === 1 ? 'in its window' : `in ${windows} windows`,
  ];
  return (
    <Folded title="When" now={held.join(', ')} errors={errors} fields={['start_at', 'end_at', 'windows']}>
      <div class="pair">
        {(
          [
            ['start_at', 'Begins at', 'UTC. Empty: when it is started.'],
            ['end_at', 'Ends at', 'UTC. From then on no further device starts.'],
          ] as const
        ).map(([name, label, help]) => (
          <Field name={name} label={label} help={help} errors={errors}>
            {(attributes) => <input {...attributes} type="datetime-local" value={values[name] ?? ''} />}
          </Field>
        ))}
      </div>
      {Array.from({ length: Math.min(20, windows + 1) }, (_, index) => (
        <Window index={index} values={values} errors={errors} />
      ))}
      <datalist id="zones">
        {[DEVICE_ZONE, 'UTC', ...Intl.supportedValuesOf('timeZone')].map((zone) => (
          <option value={zone} />
        ))}
      </datalist>
    </Folded>
  );
};
