/** Which devices a campaign would take, and in which stages: beside the form that makes it. */
import type { CampaignPreview } from '../protocol/api.ts';
import { count, plural } from './format.ts';

const REASONS: Record<string, string> = {
  has_version: 'have this version already',
  revoked: 'are revoked',
  not_approved: 'wait for approval',
  below_min_version: 'are too old, and no release leads there',
};

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
    {p.skipped.length === 0 ? null : (
      <p>
        Left out:{' '}
        {p.skipped.map(({ error, count: n }) => `${count(n)} ${REASONS[error] ?? error}`).join(', ')}.
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
