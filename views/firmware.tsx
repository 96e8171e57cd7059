/** One firmware, or app: what it is, how to sign it, where it is, and what can be done with it. */
import type { Firmware, Installations } from '../protocol/api.ts';
import { firmwareTitle } from '../protocol/target-path.ts';
import type { CampaignListItem } from './campaigns.tsx';
import { CampaignTable } from './campaigns.tsx';
import { plural, size } from './format.ts';
import { AskFirst, Badge, Field, When } from './parts.tsx';

export interface FirmwarePageData {
  firmware: Firmware;
  campaigns: CampaignListItem[];
  installed: Installations;
  mayOperate: boolean;
  origin: string;
  /** What could not be done just now. */
  problem?: string | undefined;
  now: Date;
}

export const FirmwarePage = (data: FirmwarePageData) => {
  const { firmware: f, campaigns, problem, now } = data;
  return (
    <>
      <Head {...data} />
      {problem === undefined ? null : (
        <p class="notice" data-tone="bad" role="alert">
          {problem}
        </p>
      )}
      {f.damage === null ? null : (
        <p class="notice" data-tone="bad">
          The stored bytes are damaged: {f.damage}. Upload the same file under the same version again: that
          mends them.
        </p>
      )}
      {f.document_damage === null ? null : (
        <p class="notice" data-tone="bad">
          Documents stored beside it are damaged: {f.document_damage}. Store the same files again, with
          “skylark firmware upload … --sbom … --advisory …”: that mends them.
        </p>
      )}
      {f.state === 'withdrawn' ? (
        <p class="notice" data-tone="bad">
          Withdrawn <When at={f.withdrawn_at} now={now} />: {f.withdrawn_reason}. No device is offered it any
          more.
        </p>
      ) : null}
      {f.state === 'uploaded' ? <HowToSign {...data} /> : null}
      <div class="grid">
        <Facts {...data} />
        <section class="panel">
          <h2>Release notes</h2>
          {f.release_notes === '' ? (
            <p class="soft">None were given.</p>
          ) : (
            <pre class="prose">{f.release_notes}</pre>
          )}
        </section>
      </div>
      <Installed {...data} />
      <section class="panel">
        <h2>Campaigns</h2>
        <CampaignTable
          items={campaigns}
          now={now}
          none="No campaign has had it yet."
          make={f.state === 'published' && data.mayOperate ? `/campaigns/new?firmware_id=${f.id}` : undefined}
        />
      </section>
      {f.state === 'published' && data.mayOperate ? <Withdraw {...data} /> : null}
    </>
  );
};

const Head = ({ firmware: f, campaigns, installed, mayOperate }: FirmwarePageData) => (
  <div class="head">
    <div>
      <h1>{firmwareTitle(f).replace('/', ' ')}</h1>
      <p class="sub">
        {f.kind === 'app' ? `app${f.name === null ? '' : ` “${f.name}”`}` : 'firmware'}, {size(f.size_bytes)}
      </p>
    </div>
    <div class="actions">
      <Badge state={f.state} />
      <a class="button" href={`/firmware/${f.id}/download`}>
        Download
      </a>
      {f.state === 'published' && mayOperate ? (
        <a class="button primary" href={`/campaigns/new?firmware_id=${f.id}`}>
          New campaign
        </a>
      ) : null}
      {mayOperate && campaigns.length === 0 && installed.count === 0 ? (
        <AskFirst
          to={`/firmware/${f.id}/delete`}
          label="Delete"
          question="The file and its entry are removed. This cannot be undone."
        />
      ) : null}
    </div>
  </div>
);

const HowToSign = ({ firmware: f, origin }: FirmwarePageData) => (
  <section class="panel">
    <h2>Sign it to publish it</h2>
    <p>
      Devices install nothing that is not signed with the release key of their model. That key stays with you:
      run this where it is, on a CI machine or your own.
    </p>
    <pre>
      <code>
        {`export SKYLARK_URL=${origin}\nexport SKYLARK_API_KEY=…\nexport SKYLARK_RELEASE_KEY=release.pem\nnpx skylark firmware publish ${firmwareTitle(f)}`}
      </code>
    </pre>
    <p class="soft">This page then says “published”, and a campaign can take it to devices.</p>
  </section>
);

const Facts = ({ firmware: f, now }: FirmwarePageData) => (
  <section class="panel">
    <h2>Facts</h2>
    <dl class="facts">
      <dt>Checksum</dt>
      <dd class="mono">{f.checksum}</dd>
      <dt>Needs at least</dt>
      <dd class="mono">{f.min_version ?? 'any firmware'}</dd>
      <dt>Bill of materials</dt>
      <dd>{f.sbom === null ? <None /> : <a href={`/firmware/${f.id}/sbom`}>Download</a>}</dd>
      <dt>Advisory</dt>
      <dd>{f.advisory === null ? <None /> : <a href={`/firmware/${f.id}/advisory`}>Download</a>}</dd>
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
);

const None = () => <span class="soft">none</span>;

const Installed = ({ firmware: f, installed }: FirmwarePageData) => {
  const { count, more, sample } = installed;
  const rest = count - sample.length;
  const all = `/devices?${new URLSearchParams({ model: f.model, firmware: f.version })}`;
  return (
    <section class="panel">
      <h2>Where it is installed</h2>
      {count === 0 ? (
        <p class="soft">On no device so far.</p>
      ) : (
        <>
          <p>{more ? `More than ${plural(count, 'device')}` : plural(count, 'device')}</p>
          <table>
            <tbody>
              {sample.map((device) => (
                <tr>
                  <td class="name">
                    <a href={`/devices/${device.serial_no}`}>{device.serial_no}</a>
                  </td>
                  <td>
                    <Badge state={device.status} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {rest > 0 && f.kind === 'firmware' ? (
            <p>
              <a href={all}>All of them</a>
            </p>
          ) : null}
        </>
      )}
    </section>
  );
};

const Withdraw = ({ firmware: f }: FirmwarePageData) => (
  <section class="panel">
    <h2>Withdraw it</h2>
    <p>
      Campaigns with it are paused, and none can start any more. Devices that have it keep it. This cannot be
      undone: what mends it is a new version.
    </p>
    <form class="stack" method="post" action={`/firmware/${f.id}/withdraw`}>
      <Field name="reason" label="Reason" help="Shown to whoever looks at its campaigns.">
        {(attributes) => <input {...attributes} required maxlength={500} />}
      </Field>
      <div class="actions">
        <button class="danger">Withdraw</button>
      </div>
    </form>
  </section>
);
