/** What a campaign object is told when it starts, and what it keeps of itself. */
import type { CampaignPolicy, CampaignStatus, CampaignTarget } from '../../protocol/api.ts';
import type { CampaignRow } from '../../store/campaigns.ts';
import type { FirmwareRow } from '../../store/firmware.ts';
import type { Cursor } from './members.ts';
import type { Counts } from './stages.ts';

export interface Definition {
  id: string;
  name: string;
  target: CampaignTarget;
  policy: CampaignPolicy;
  firmware: {
    id: string;
    kind: 'firmware' | 'app';
    /** Of an app. */
    name: string | null;
    model: string;
    version: string;
    sha256: string;
    size_bytes: number;
    min_version: string | null;
  };
}

/** What the ledger's rows say of a campaign, as its object is told. */
export function definitionOf(row: CampaignRow, firmware: FirmwareRow): Definition {
  return {
    id: row.id,
    name: row.name,
    target: row.target,
    policy: row.policy,
    firmware: {
      id: firmware.id,
      kind: firmware.kind,
      name: firmware.name,
      model: firmware.model,
      version: firmware.version,
      sha256: firmware.sha256,
      size_bytes: firmware.sizeBytes,
      min_version: firmware.minVersion,
    },
  };
}

/** The campaign as it stands. Times are Unix milliseconds. */
export interface CampaignState {
  definition: Definition;
  status: Exclude<CampaignStatus, 'draft' | 'scheduled'>;
  reason: string | null;
  /** The open stage. */
  stage: number;
  stage_opened_at: number;
  /** Failures in the open stage an operator has accepted. */
  accepted_failures: number;
  cursor: Cursor;
  /** By stage. */
  counts: Counts[];
  /** By error code. */
  errors: Record<string, number>;
  started_at: number;
  finished_at: number | null;
  /** Members completed after this moment are still to be taken back; null where nothing is to be. */
  take_back_after: number | null;
  /** The ledger's row of the campaign is older than this. */
  unwritten: boolean;
}
