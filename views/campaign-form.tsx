/** The form that makes a campaign: what must be said first, the rest folded away with what it is otherwise. */
import type { CampaignPreview, Firmware } from '../protocol/api.ts';
import { firmwareTitle } from '../protocol/target-path.ts';
import {
  FailureFields,
  type FieldValues,
  Folded,
  GateFields,
  KindFields,
  PaceFields,
} from './campaign-fields.tsx';
import { Preview } from './campaign-preview.tsx';
import { TimeFields } from './campaign-times.tsx';
import { Field, type FieldErrors } from './parts.tsx';

export interface CampaignFormData {
  values: FieldValues;
  firmware: Firmware[];
  errors?: FieldErrors | undefined;
  preview?: CampaignPreview | undefined;
}

/** The plans to choose from: none is what is recommended, `safe` that with one device first in any case. */
export const PLANS = [
  ['', 'Recommended: one device or 1 %, then 10 %, 50 %, everyone'],
  ['safe', 'One device, then 10 %, 50 %, everyone'],
  ['1,10,50,100', 'Canary: 1 %, 10 %, 50 %, everyone'],
  ['10,50,100', 'Three stages: 10 %, 50 %, everyone'],
  ['5,25,100', 'Careful start: 5 %, 25 %, everyone'],
  ['100', 'Everyone at once'],
] as const;

const TARGETS = [
  ['target.fw_version', 'Running version', 'Such as "< v1.1.0".'],
  ['target.groups', 'Groups', 'Separated by commas.'],
  ['target.tags', 'Tags', 'One of them is enough.'],
] as const;

const Target = ({ values, errors }: CampaignFormData) => (
  <fieldset>
    <legend>Which devices</legend>
    <p class="help">All devices of the firmware's model, narrowed by what you fill in here.</p>
    <div class="pair">
      {TARGETS.map(([name, label, help]) => (
        <Field name={name} label={label} help={help} errors={errors}>
          {(attributes) => <input {...attributes} value={values[name] ?? ''} placeholder="any" />}
        </Field>
      ))}
    </div>
    <Folded
      title="Serial numbers, a sample, devices to come"
      now={values['target.serial_nos'] === undefined ? 'any serial number' : 'chosen serial numbers'}
      errors={errors}
      fields={['target.serial_nos', 'target.file', 'target.percentage', 'target.dynamic']}
    >
      <Field
        name="target.serial_nos"
        label="Serial numbers"
        help="Separated by commas or lines."
        errors={errors}
      >
        {(attributes) => (
          <textarea {...attributes} rows={2} placeholder="any">
            {values['target.serial_nos'] ?? ''}
          </textarea>
        )}
      </Field>
      <div class="pair">
        <Field
          name="target.file"
          label="or from a file"
          help="CSV with a column serial_no, or a plain list."
          errors={errors}
        >
          {(attributes) => <input {...attributes} type="file" accept=".csv,.txt,text/csv,text/plain" />}
        </Field>
        <Field
          name="target.percentage"
          label="A sample of"
          help="Percent of them, at random."
          errors={errors}
        >
          {(attributes) => (
            <input
              {...attributes}
              type="number"
              min="0"
              max="100"
              step="any"
              placeholder="100"
              value={values['target.percentage'] ?? ''}
            />
          )}
        </Field>
      </div>
      <label class="check">
        <input
          type="checkbox"
          name="target.dynamic"
          value="true"
          checked={values['target.dynamic'] !== undefined}
        />{' '}
        Devices that come to match while it runs join it
      </label>
    </Folded>
  </fieldset>
);

/** Asks which devices it would be; with the rest of the form and nothing made. */
const PreviewButton = () => (
  <div class="actions">
    <button
      formaction="/campaigns/preview"
      formnovalidate
      hx-post="/campaigns/preview"
      hx-include="closest form"
      hx-encoding="multipart/form-data"
      hx-target="#preview"
      hx-swap="outerHTML"
    >
      Preview
    </button>
  </div>
);

export const CampaignForm = (data: CampaignFormData) => {
  const { values, firmware, errors, preview } = data;
  return (
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
        <form class="stack" method="post" action="/campaigns/new" enctype="multipart/form-data">
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
          <Target {...data} />
          <Field
            name="stages"
            label="Plan"
            help="Recommended: firmware that no device runs yet begins with one device, other firmware with 1 %."
            errors={errors}
          >
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
            name="own_stages"
            label="or stages of your own"
            help="10 %, 5 devices or group beta; behind each, where wanted: at 98 %, after 2 h, manual. The last is 100 %."
            errors={errors}
          >
            {(attributes) => (
              <input
                {...attributes}
                value={values.own_stages ?? ''}
                placeholder="1 device after 1 h, group beta at 98 %, 100 % manual"
              />
            )}
          </Field>
          <PreviewButton />
          {preview === undefined ? <Preview /> : <Preview preview={preview} />}
          <div class="folds">
            <Folded
              title="Gates between stages"
              now={`a stage passes at ${values.success_threshold ?? 95} %${values.min_duration_min === undefined ? '' : ` and after ${values.min_duration_min} min`}`}
              errors={errors}
              fields={['success_threshold', 'min_duration_min']}
            >
              <GateFields values={values} errors={errors} />
            </Folded>
            <FailureFields values={values} errors={errors} />
            <PaceFields values={values} errors={errors} />
            <TimeFields values={values} errors={errors} />
            <KindFields values={values} errors={errors} />
          </div>
          <div class="actions">
            <button class="primary">Make the draft</button>
            <a href="/campaigns">Back</a>
          </div>
        </form>
      </section>
    </>
  );
};
