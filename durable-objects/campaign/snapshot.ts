/** How a campaign stands, for whoever watches it. */
import type { CampaignMetrics, CampaignStatus, DeviceUpdate } from '../../protocol/api.ts';
import type { CampaignRow } from '../../store/campaigns.ts';
import type { FirmwareRow } from '../../store/firmware.ts';
import type { Book } from './book.ts';
import { type CampaignState, definitionOf } from './definition.ts';
import { isStarted, type Member } from './member.ts';
import { metricsOf, plannedMetrics } from './metrics.ts';

const LATEST = 50;

export interface Snapshot {
  id: string;
  status: CampaignState['status'];
  reason: string | null;
  metrics: CampaignMetrics;
  /** Counts what operators did to it, and the stages that opened. */
  revision: number;
  started_at: number;
  finished_at: number | null;
  /** The latest changed members. */
  latest: DeviceUpdate[];
}

/** How a campaign stands that has not begun, or is over and forgotten here: as the ledger has it. */
export type LedgerSnapshot = Omit<Snapshot, 'status' | 'started_at'> & {
  status: CampaignStatus;
  started_at: number | null;
};

export function ledgerSnapshot({
  row,
  firmware,
}: {
  row: CampaignRow;
  firmware: FirmwareRow;
}): LedgerSnapshot {
  return {
    id: row.id,
    status: row.status,
    reason: row.statusReason,
    metrics: row.metrics ?? plannedMetrics(definitionOf(row, firmware)),
    revision: 0,
    started_at: row.startedAt?.getTime() ?? null,
    finished_at: row.finishedAt?.getTime() ?? null,
    latest: [],
  };
}

export function snapshotOf(book: Book): Snapshot {
  const { state, members } = book;
  return {
    id: state.definition.id,
    status: state.status,
    reason: state.reason,
    metrics: metricsOf(state),
    revision: state.revision,
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
