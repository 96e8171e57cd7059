/** What a campaign object is told when it starts, and what it keeps of itself. */
import {
  type CampaignPolicy,
  type CampaignStatus,
  type CampaignTarget,
  campaignPolicy,
} from '../../protocol/api.ts';
import type { CampaignRow } from '../../store/campaigns.ts';
import type { FirmwareRow } from '../../store/firmware.ts';
import type { Accepted } from './gate.ts';
import type { Cursor } from './member-rows.ts';
import type { PaceLevel } from './pace.ts';
import type { Sample } from './silence.ts';
import type { Counts, Failures } from './stages.ts';

/** A firmware as a campaign brings it. */
export interface Artifact {
  id: string;
  kind: 'firmware' | 'app';
  /** Of an app; campaigns begun before apps had names have none. */
  name?: string | null;
  model: string;
  version: string;
  sha256: string;
  size_bytes: number;
  min_version: string | null;
}

export interface Definition {
  id: string;
  name: string;
  target: CampaignTarget;
  policy: CampaignPolicy;
  firmware: Artifact;
  /** Older releases a device may need on its way, when it is too old for the firmware itself. */
  steps: Artifact[];
}

/** What the ledger's rows say of a campaign, as its object is told. `steps` are other releases for the same model. */
export function definitionOf(
  row: CampaignRow,
  firmware: FirmwareRow,
  steps: readonly FirmwareRow[] = [],
): Definition {
  return {
    id: row.id,
    name: row.name,
    target: row.target,
    policy: campaignPolicy.parse(row.policy),
    firmware: artifactOf(firmware),
    steps: steps.map(artifactOf),
  };
}

export const artifactOf = (row: FirmwareRow): Artifact => ({
  id: row.id,
  kind: row.kind,
  name: row.name,
  model: row.model,
  version: row.version,
  sha256: row.sha256,
  size_bytes: row.sizeBytes,
  min_version: row.minVersion,
});

/** Its devices are being looked for in the ledger, in the order of their serial numbers. */
export interface Finding {
  phase: 'finding';
  /** The last serial number that was looked at. */
  after: string | undefined;
  found: number;
  /** Those of them that take part. */
  eligible: number;
}

/** They are being dealt out to the stages, in the order of their hashes. */
export interface Dealing {
  phase: 'dealing';
  /** The next bucket of {@link Found}. */
  bucket: number;
  /** How many take part, and how many of them have been seen. */
  keep: number;
  seen: number;
  /** Where the stages that are no group end, and how many members are in these. */
  ends: number[];
  dealt: number;
}

/** Why nobody begins any more. */
export interface Closed {
  error: string;
  detail: string;
  /** The stage that was open; of a campaign that was closed by an earlier release nobody knows. */
  stage?: number;
}

/** Everybody who has not begun is being skipped. */
export interface Sweep extends Closed {
  /** The last member that was looked at. */
  cursor: Cursor;
}

/** The campaign as it stands. Times are Unix milliseconds. */
export interface CampaignState {
  definition: Definition;
  status: Exclude<CampaignStatus, 'draft' | 'scheduled'>;
  reason: string | null;
  /** The open stage. */
  stage: number;
  stage_opened_at: number;
  /** An operator has let the stage after the open one begin, whatever the gate says. */
  released: boolean;
  /** When the stages before it passed, by their index. */
  passed_at: Record<number, number>;
  /** The stage whose gate stopped it last: one that has passed can, too. */
  stopped_by: number | null;
  /** By stage, as far as anything was accepted. */
  accepted: Accepted[];
  /** By stage: completed members that are silent beyond what is usual. */
  silence: number[];
  /** By stage: completed members that run again what they had before. */
  back: number[];
  /** What was usual for devices that were not updated, when it was seen last. */
  control: (Sample & { at: number }) | null;
  cursor: Cursor;
  /** As it was when the state was kept. */
  pace: PaceLevel | null;
  /** By stage. */
  counts: Counts[];
  /** By stage. */
  failures: Failures[];
  /** By error code. */
  errors: Record<string, number>;
  started_at: number;
  finished_at: number | null;
  /** Members completed after this moment are still to be taken back; null where nothing is to be. */
  take_back_after: number | null;
  /** Set while they are being taken back: up to when they had completed. */
  take_back_until: number | null;
  /** How many had completed when some were last taken back. */
  taken_back: number;
  /** What is left to do before anybody begins. */
  preparing: Finding | Dealing | null;
  sweep: Sweep | null;
  /** Commands that no broker has yet are to be withdrawn. */
  withdraws: boolean;
  /** Counts what operators did to it, and the stages that opened. */
  revision: number;
  /** Nobody begins any more, nor again: an attempt that fails now is the last, and whoever would wait is skipped. */
  closed: Closed | null;
  /** Serial numbers of the latest changed members, oldest first. */
  recent: string[];
  /** The ledger's row of the campaign is older than this. */
  unwritten: boolean;
}
