/** Which devices a campaign would take, and in which stages: beside the form that makes it. */
import type { CampaignPreview } from '../protocol/api.ts';
import { count, plural } from './format.ts';

/** Why devices are left out: of one, and of several. */
const REASONS: Record<string, readonly [string, string]> = {
  has_version: ['has this version already', 'have this version already'],
  has_newer: ['has something newer', 'have something newer'],
  other_model: ['has other hardware', 'have other hardware'],
  decommissioned: ['is out of service', 'are out of service'],
  revoked: ['is revoked', 'are revoked'],
  not_approved: ['waits for approval', 'wait for approval'],
  below_min_version: ['is too old, and no release leads there', 'are too old, and no release leads there'],
};

const leftOut = ({ error, count: n }: CampaignPreview['skipped'][number]): string =>
  `${count(n)} ${REASONS[error]?.[n === 1 ? 0 : 1] ?? error}`;

/** The place of the preview; empty before somebody asks for it. */
export const Preview = ({ preview, problem }: { preview?: CampaignPreview; problem?: string }) => (
  <div id="preview" aria-live="polite">
    {problem === undefined ? null : (
      <p class="notice" data-tone="bad">
        {problem}
      </p>
    )}
    {preview === undefined ? null : <Found {...preview} />}
  </div>
);

/** Who would take part in a campaign that has not begun: counted once its page is there, since it reads them all. */
export const PreviewLater = ({ id }: { id: string }) => (
  <div id="preview" hx-get={`/campaigns/${id}/preview`} hx-trigger="load" hx-swap="outerHTML">
    <a href={`/campaigns/${id}/preview`}>Which devices would take part</a>
  </div>
);

const Found = (p: CampaignPreview) => (
  <div class="notice" data-tone={p.count === 0 ? 'bad' : 'busy'}>
    <p>
      <b>{p.count === 0 ? 'No device would take part.' : `${plural(p.count, 'device')} would take part.`}</b>{' '}
      {p.sample.map(({ serial_no, current_firmware }, i) => (
        <>
          {i === 0 ? null : ', '}
          <a href={`/devices/${serial_no}`}>{serial_no}</a>
          {current_firmware === null ? null : ` (${current_firmware})`}
        </>
      ))}
      {p.count > p.sample.length && p.sample.length > 0 ? ', …' : null}
    </p>
    {p.skipped.length === 0 ? null : <p>Left out: {p.skipped.map(leftOut).join(', ')}.</p>}
    {p.would_go_back === 0 ? null : (
      <p>
        <b>{count(p.would_go_back)}</b> of them {p.would_go_back === 1 ? 'runs' : 'run'} something newer and
        would go back.
      </p>
    )}
    {p.unknown_serial_nos === null || p.unknown_serial_nos <= 0 ? null : (
      <p>
        {count(p.unknown_serial_nos)} of the serial numbers {p.unknown_serial_nos === 1 ? 'fits' : 'fit'} no
        device.
      </p>
    )}
    {p.count === 0 ? null : (
      <p>
        {p.new_to_fleet ? 'No device runs this firmware yet. ' : null}
        In stages: {p.stages.map(({ name, devices }) => `${name} (${count(devices)})`).join(' → ')}.
      </p>
    )}
  </div>
);
