/** What happened to a device, in lines a person understands. */
import type { DeviceEvent } from '../protocol/api.ts';
import { absolute, text } from './format.ts';
import { Empty, type Tone, When } from './parts.tsx';

function describe({ kind, detail }: DeviceEvent): { title: string; more: string; tone: Tone } {
  switch (kind) {
    case 'update': {
      const status = text(detail.status ?? '');
      const failed = status === 'failed' || status === 'rollback';
      const more = [detail.error, detail.detail]
        .filter((part) => part !== undefined && part !== null)
        .map(text);
      const title = status === 'rollback' ? 'Update rolled back' : `Update ${status}`;
      return {
        title,
        more: more.join(': '),
        tone: failed ? 'bad' : status === 'completed' ? 'good' : 'busy',
      };
    }
    case 'setting':
      return {
        title: `Setting ${text(detail.setting_changed)}`,
        more: `${text(detail.old_value ?? '–')} → ${text(detail.new_value)}`,
        tone: 'wait',
      };
    case 'command':
      return detail.state === 'expired'
        ? {
            title: `Command ${text(detail.command)} expired`,
            more: 'the device did not get it in time',
            tone: 'bad',
          }
        : { title: `Command ${text(detail.command)} sent`, more: '', tone: 'wait' };
    case 'online':
      return { title: 'Online', more: '', tone: 'good' };
    case 'offline':
      return { title: 'Offline', more: 'not heard from any more', tone: 'wait' };
    case 'certificate':
      return {
        title: 'Certificate issued',
        more: `good until ${absolute(text(detail.not_after))}`,
        tone: 'good',
      };
    default:
      return { title: kind, more: text(detail), tone: 'wait' };
  }
}

export const Timeline = ({ events, now }: { events: DeviceEvent[]; now: Date }) =>
  events.length === 0 ? (
    <Empty>
      <p>Nothing has happened yet.</p>
    </Empty>
  ) : (
    <ol class="timeline">
      {events.map((event) => {
        const { title, more, tone } = describe(event);
        return (
          <li data-tone={tone}>
            <span>{title}</span>
            <When at={event.at} now={now} />
            {more === '' ? null : <span class="soft">{more}</span>}
          </li>
        );
      })}
    </ol>
  );
