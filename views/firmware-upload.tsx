/** The form that uploads firmware. */
import { FIRMWARE_KINDS } from '../protocol/api.ts';
import { size } from './format.ts';
import { Field, type FieldErrors } from './parts.tsx';

/** A Worker takes no more in one request. */
const FORM_BYTES = 100_000_000;

export const UploadForm = ({
  values,
  models,
  maxBytes,
  errors,
}: {
  values: Record<string, string>;
  /** Models there is firmware for, to choose from. */
  models: string[];
  maxBytes: number;
  errors?: FieldErrors | undefined;
}) => (
  <>
    <div class="head">
      <h1>Upload firmware</h1>
    </div>
    <section class="panel">
      <form
        class="stack"
        method="post"
        action="/firmware/new"
        enctype="multipart/form-data"
        data-failed="The connection was lost. Try again."
      >
        {errors === undefined ? null : (
          <p class="notice" data-tone="bad" role="alert">
            {errors.find(({ field }) => field === '')?.message ?? 'Some fields are missing or wrong.'}
          </p>
        )}
        <Field
          name="file"
          label="File"
          help={`Up to ${size(Math.min(maxBytes, FORM_BYTES))} here${
            maxBytes > FORM_BYTES ? `; up to ${size(maxBytes)} with the CLI, which resumes` : ''
          }.`}
          errors={errors}
        >
          {(attributes) => (
            <input
              {...attributes}
              type="file"
              required
              data-max-bytes={Math.min(maxBytes, FORM_BYTES)}
              data-too-large="This file is too large to be uploaded here."
            />
          )}
        </Field>
        <div class="pair">
          <Field name="model" label="Model" help="The hardware it is for." errors={errors}>
            {(attributes) => (
              <>
                <input
                  {...attributes}
                  required
                  value={values.model ?? ''}
                  placeholder="TX-100"
                  list="models"
                />
                <datalist id="models">
                  {models.map((model) => (
                    <option value={model} />
                  ))}
                </datalist>
              </>
            )}
          </Field>
          <Field name="version" label="Version" errors={errors}>
            {(attributes) => (
              <input {...attributes} required value={values.version ?? ''} placeholder="v1.1.0" />
            )}
          </Field>
        </div>
        <div class="pair">
          <Field name="kind" label="Kind" errors={errors}>
            {(attributes) => (
              <select {...attributes}>
                {FIRMWARE_KINDS.map((kind) => (
                  <option value={kind} selected={values.kind === kind}>
                    {kind}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field
            name="name"
            label="Name of the app"
            help="As devices call it in their heartbeats; for an app only."
            errors={errors}
          >
            {(attributes) => <input {...attributes} value={values.name ?? ''} placeholder="none" />}
          </Field>
          <Field
            name="min_version"
            label="Needs at least"
            help="Devices with older firmware are skipped."
            errors={errors}
          >
            {(attributes) => (
              <input {...attributes} value={values.min_version ?? ''} placeholder="any version" />
            )}
          </Field>
        </div>
        <Field name="release_notes" label="Release notes" errors={errors}>
          {(attributes) => (
            <textarea {...attributes} rows={4}>
              {values.release_notes ?? ''}
            </textarea>
          )}
        </Field>
        <progress data-upload hidden max="1" value="0" aria-label="Upload" />
        <div class="actions">
          <button class="primary">Upload</button>
          <a href="/firmware">Back</a>
        </div>
      </form>
    </section>
  </>
);
