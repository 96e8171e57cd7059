/** The list of firmware, one firmware, and the upload form. */
import { FIRMWARE_KINDS, type Firmware, type Page } from '../protocol/api.ts';
import type { CampaignListItem } from './campaigns.tsx';
import { CampaignTable } from './campaigns.tsx';
import { size } from './format.ts';
import { AskFirst, Badge, Empty, Field, type FieldErrors, Pager, When } from './parts.tsx';

export const FirmwareList = ({
  list,
  query,
  mayUpload,
  now,
}: {
  list: Page<Firmware>;
  query: Record<string, string>;
  mayUpload: boolean;
  now: Date;
}) => (
  <>
    <div class="head">
      <h1>Firmware</h1>
      {mayUpload ? (
        <a class="button primary" href="/firmware/new">
          Upload firmware
        </a>
      ) : null}
    </div>
    <section class="panel">
      {list.items.length === 0 ? (
        <Empty>
          <h2>No firmware yet</h2>
          <p>
            Upload one here, or from CI with{' '}
            <code>npx skylark firmware upload FILE --version v1.0.0 --model MODEL</code>.
          </p>
        </Empty>
      ) : (
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
              {list.items.map((f) => (
                <tr>
                  <td>
                    <a class="mono" href={`/firmware/${f.id}`}>
                      {f.version}
                    </a>
                  </td>
                  <td>{f.model}</td>
                  <td>
                    <Badge state={f.state} />
                  </td>
                  <td>{f.kind}</td>
                  <td>
                    <When at={f.uploaded_at} now={now} />
                  </td>
                  <td class="number">{size(f.size_bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Pager path="/firmware" query={query} next={list.next_cursor} />
    </section>
  </>
);

export const FirmwarePage = ({
  firmware: f,
  campaigns,
  mayDelete,
  origin,
  now,
}: {
  firmware: Firmware;
  campaigns: CampaignListItem[];
  mayDelete: boolean;
  origin: string;
  now: Date;
}) => (
  <>
    <div class="head">
      <div>
        <h1>
          {f.model} {f.version}
        </h1>
        <p class="sub">
          {f.kind}, {size(f.size_bytes)}
        </p>
      </div>
      <div class="actions">
        <Badge state={f.state} />
        <a class="button" href={`/firmware/${f.id}/download`}>
          Download
        </a>
        {f.state === 'published' ? (
          <a class="button primary" href={`/campaigns/new?firmware_id=${f.id}`}>
            New campaign
          </a>
        ) : null}
        {mayDelete && campaigns.length === 0 ? (
          <AskFirst
            to={`/firmware/${f.id}/delete`}
            label="Delete"
            question="The file and its entry are removed. This cannot be undone."
          />
        ) : null}
      </div>
    </div>
    {f.state === 'published' ? null : (
      <section class="panel">
        <h2>Sign it to publish it</h2>
        <p>
          Devices install nothing that is not signed with the release key of their model. That key stays with
          you: run this where it is, on a CI machine or your own.
        </p>
        <pre>
          <code>
            {`export SKYLARK_URL=${origin}\nexport SKYLARK_API_KEY=…\nexport SKYLARK_RELEASE_KEY=release.pem\nnpx skylark firmware publish ${f.model}/${f.version}`}
          </code>
        </pre>
      </section>
    )}
    <div class="grid">
      <section class="panel">
        <h2>Facts</h2>
        <dl class="facts">
          <dt>Checksum</dt>
          <dd class="mono">{f.checksum}</dd>
          <dt>Needs at least</dt>
          <dd class="mono">{f.min_version ?? 'any version'}</dd>
          <dt>Uploaded</dt>
          <dd>
            <When at={f.uploaded_at} now={now} />
          </dd>
          <dt>Published</dt>
          <dd>
            <When at={f.published_at} now={now} none="not yet" />
          </dd>
          <dt>ID</dt>
          <dd class="mono">{f.id}</dd>
        </dl>
      </section>
      <section class="panel">
        <h2>Release notes</h2>
        {f.release_notes === '' ? <p class="soft">None were given.</p> : <pre>{f.release_notes}</pre>}
      </section>
    </div>
    <section class="panel">
      <h2>Campaigns</h2>
      <CampaignTable items={campaigns} now={now} />
    </section>
  </>
);

export const UploadForm = ({
  values,
  errors,
}: {
  values: Record<string, string>;
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
          help="Up to 100 MB here; larger ones with the CLI, which resumes."
          errors={errors}
        >
          {(attributes) => <input {...attributes} type="file" required />}
        </Field>
        <div class="pair">
          <Field name="model" label="Model" help="The hardware it is for." errors={errors}>
            {(attributes) => (
              <input {...attributes} required value={values.model ?? ''} placeholder="TX-100" />
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
            name="min_version"
            label="Needs at least"
            help="Devices older than this are skipped."
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
