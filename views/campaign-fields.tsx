/** The parts of a campaign's policy as form fields: folded away, each with how it stands in its heading. */
import type { Child } from 'hono/jsx';
import type { FailureClass } from '../protocol/api.ts';
import { count } from './format.ts';
import { Field, type FieldErrors } from './parts.tsx';

/** What stands in the form's fields. Times are UTC, windows are numbered from 0. */
export type FieldValues = Record<string, string>;

export interface PolicyFieldsData {
  values: FieldValues;
  errors?: FieldErrors | undefined;
}

/** What a field that is left empty means. */
export const USUAL: FieldValues = {
  success_threshold: '95',
  min_duration_min: '0',
  failure_threshold: '10',
  min_sample: '20',
  on_failure: 'pause',
  max_attempts: '1',
  update_timeout_min: '60',
  max_concurrent: '1000',
  rate_per_minute: '10000',
  kind: 'forced',
  postpone_limit_h: '168',
  priority: '100',
};

/** A part of the form that opens when it is needed: without a script, and by itself where something in it is wrong. */
export const Folded = ({
  title,
  now,
  errors,
  fields,
  children,
}: {
  title: string;
  /** How it stands, for whoever leaves it closed. */
  now: string;
  errors: FieldErrors | undefined;
  /** The beginnings of its fields' names. */
  fields: readonly string[];
  children: Child;
}) => (
  <details
    class="more"
    open={errors?.some(({ field }) => fields.some((name) => field === name || field.startsWith(`${name}.`)))}
  >
    <summary>
      <span>{title}</span> <span class="now">{now}</span>
    </summary>
    <div class="fields">{children}</div>
  </details>
);

interface NumberData extends PolicyFieldsData {
  name: string;
  label: string;
  help?: string;
  min: number;
  max?: number;
  step?: string;
  placeholder?: string;
}

const NumberField = ({ name, label, help, min, max, step, placeholder, values, errors }: NumberData) => (
  <Field name={name} label={label} errors={errors} {...(help === undefined ? {} : { help })}>
    {(attributes) => (
      <input
        {...attributes}
        type="number"
        inputmode="decimal"
        min={min}
        max={max}
        step={step ?? '1'}
        placeholder={placeholder ?? USUAL[name] ?? ''}
        value={values[name] ?? ''}
      />
    )}
  </Field>
);

/** What holds: what was filled in, else what is usual. */
const held = (values: FieldValues, name: string): string => values[name] ?? USUAL[name] ?? '';
const heldCount = (values: FieldValues, name: string): string => {
  const n = Number(held(values, name));
  return Number.isFinite(n) ? count(n) : held(values, name);
};

/** When a stage passes. `placeholder`: what an empty field means, where that is not the usual. */
export const GateFields = ({ placeholder, ...data }: PolicyFieldsData & { placeholder?: string }) => {
  const hint = placeholder === undefined ? {} : { placeholder };
  return (
    <div class="pair">
      <NumberField
        {...data}
        {...hint}
        name="success_threshold"
        label="A stage passes at"
        help="Percent of its devices completed."
        min={0}
        max={100}
        step="any"
      />
      <NumberField
        {...data}
        {...hint}
        name="min_duration_min"
        label="and after at least"
        help="Minutes, to watch how it does."
        min={0}
        step="any"
      />
    </div>
  );
};

/** How an update can fail, in words. */
const WEIGHTS = [
  ['failed', 'that failed'],
  ['rollback', 'that went back'],
  ['timeout', 'that took too long'],
  ['rejected', 'that declined for too long'],
] as const satisfies readonly (readonly [FailureClass, string])[];

export const FailureFields = (data: PolicyFieldsData) => (
  <Folded
    title="When something fails"
    now={`above ${held(data.values, 'failure_threshold')} % it ${held(data.values, 'on_failure') === 'rollback' ? 'goes back' : 'pauses'}`}
    errors={data.errors}
    fields={[
      'failure_threshold',
      'on_failure',
      'max_attempts',
      'update_timeout_min',
      'min_sample',
      'silence_gate',
      'failure_weights',
    ]}
  >
    <div class="pair">
      <NumberField
        {...data}
        name="failure_threshold"
        label="Stop above"
        help="Percent of a stage failed."
        min={0}
        max={100}
        step="any"
      />
      <Field
        name="on_failure"
        label="and then"
        help="Going back takes completed devices to what they had."
        errors={data.errors}
      >
        {(attributes) => (
          <select {...attributes}>
            <option value="pause">pause</option>
            <option value="rollback" selected={data.values.on_failure === 'rollback'}>
              go back
            </option>
          </select>
        )}
      </Field>
    </div>
    <div class="pair">
      <NumberField
        {...data}
        name="update_timeout_min"
        label="A device may take"
        help="Minutes; longer counts as failed."
        min={0.2}
        step="any"
      />
      <NumberField {...data} name="max_attempts" label="Attempts" help="For each device." min={1} max={20} />
    </div>
    <div class="pair">
      <Field
        name="silence_gate"
        label="Silence after the update"
        help="Devices that are heard from no more, beyond what is usual."
        errors={data.errors}
      >
        {(attributes) => (
          <select {...attributes}>
            <option value="true">counts as failed</option>
            <option value="false" selected={data.values.silence_gate === 'false'}>
              is not looked at
            </option>
          </select>
        )}
      </Field>
      <NumberField
        {...data}
        name="min_sample"
        label="Judged by those that finished"
        help="From so many on; before that by all of the stage."
        min={1}
      />
    </div>
    <p class="help">What a device counts as, where failures are counted:</p>
    {[WEIGHTS.slice(0, 2), WEIGHTS.slice(2)].map((some) => (
      <div class="pair">
        {some.map(([name, label]) => (
          <NumberField
            {...data}
            name={`failure_weights.${name}`}
            label={label}
            min={0}
            max={10}
            step="any"
            placeholder="1"
          />
        ))}
      </div>
    ))}
  </Folded>
);

export const PaceFields = (data: PolicyFieldsData) => (
  <Folded
    title="Pace"
    now={`${heldCount(data.values, 'max_concurrent')} at a time, ${heldCount(data.values, 'rate_per_minute')} a minute${data.values['ramp.base_rate_per_minute'] === undefined ? '' : ', growing'}`}
    errors={data.errors}
    fields={['max_concurrent', 'rate_per_minute', 'ramp', 'max_per_gateway']}
  >
    <div class="pair">
      <NumberField
        {...data}
        name="max_concurrent"
        label="At most at a time"
        help="Updates under way."
        min={1}
      />
      <NumberField {...data} name="rate_per_minute" label="At most a minute" help="Updates begun." min={1} />
    </div>
    <div class="pair">
      <NumberField
        {...data}
        name="ramp.base_rate_per_minute"
        label="Begin slowly, at"
        help="Updates a minute. Empty: at full rate."
        min={1}
        placeholder="full rate"
      />
      <NumberField
        {...data}
        name="ramp.increment_factor"
        label="then times"
        help="Up to the rate above."
        min={1}
        step="any"
        placeholder="2"
      />
      <NumberField
        {...data}
        name="ramp.successes"
        label="with every"
        help="Devices completed."
        min={1}
        placeholder="100"
      />
    </div>
    <NumberField
      {...data}
      name="max_per_gateway"
      label="At most behind one gateway"
      help="Updates at a time behind what a device’s metadata names as gateway, else behind its public address, if known."
      min={1}
      placeholder="no limit"
    />
  </Folded>
);

/** The kinds of campaign, in words. */
export const KINDS = [
  ['forced', 'Installed at once'],
  ['soft', 'The device’s user may postpone it'],
  ['download_only', 'Only downloaded and verified'],
] as const;

export const KindFields = (data: PolicyFieldsData) => (
  <Folded
    title="On the device"
    now={(KINDS.find(([kind]) => kind === held(data.values, 'kind'))?.[1] ?? '').toLowerCase()}
    errors={data.errors}
    fields={['kind', 'postpone_limit_h', 'priority']}
  >
    <div class="pair">
      <Field
        name="kind"
        label="The update is"
        help="A device that has downloaded and verified has completed where it is not to be installed."
        errors={data.errors}
      >
        {(attributes) => (
          <select {...attributes}>
            {KINDS.map(([kind, label]) => (
              <option value={kind} selected={held(data.values, 'kind') === kind}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
      <NumberField
        {...data}
        name="postpone_limit_h"
        label="Postponed for at most"
        help="Hours, where users may; then it is installed."
        min={0.1}
        step="any"
      />
    </div>
    <NumberField
      {...data}
      name="priority"
      label="Priority"
      help="Of two campaigns for one device the higher goes first, of equal ones the newer."
      min={0}
      max={1000}
    />
  </Folded>
);
