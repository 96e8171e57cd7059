/** How a campaign stands, for whoever watches it. */
import type { CampaignMetrics, DeviceUpdate } from '../../protocol/api.ts';
import type { Book } from './book.ts';
import type { CampaignState } from './definition.ts';
import { isStarted, type Member } from './member.ts';
import { metricsOf } from './metrics.ts';

const LATEST = 50;

export interface Snapshot {
  id: string;
  status: CampaignState['status'];
  reason: string | null;
  metrics: CampaignMetrics;
  started_at: number;
  finished_at: number | null;
  /** The latest changed members. */
  latest: DeviceUpdate[];
}

export function snapshotOf(book: Book): Snapshot {
  const { state, members } = book;
  return {
    id: state.definition.id,
    status: state.status,
    reason: state.reason,
    metrics: metricsOf(state),
    started_at: state.started_at,
    finished_at: state.finished_at,
    latest: members.list(state.recent.slice(-LATEST).reverse()).map((member) => updateOf(book, member)),
  };
}

/** A member as the API shows it. */
export function updateOf(
  { definition, progress }: Pick<Book, 'definition' | 'progress'>,
  m: Member,
): DeviceUpdate {
  const time = (at: number | null) => (at === null ? null : new Date(at).toISOString());
  return {
    campaign_id: definition.id,
    campaign_name: definition.name,
    device_id: m.device_id,
    serial_no: m.serial_no,
    status: m.state,
    stage: m.stage,
    attempt: m.attempt,
    from_version: m.from_version,
    to_version: definition.firmware.version,
    progress: isStarted(m.state) ? (progress.get(m.serial_no) ?? null) : null,
    error: m.error,
    detail: m.detail,
    started_at: time(m.started_at),
    finished_at: time(m.finished_at),
    updated_at: new Date(m.updated_at).toISOString(),
    archived: false,
  };
}
