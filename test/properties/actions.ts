/** What can happen to a campaign in the tests of its properties, and what they see of it. */
import type { FailureClass, UpdateState } from '../../protocol/api.ts';
import type { UpdateReport } from '../../protocol/messages.ts';

export type Action =
  | { do: 'tick' | 'pause' | 'cancel' | 'resume' | 'retry' | 'advance' }
  /** Devices speak of their updates: in one call, as a fleet shard brings it. */
  | { do: 'report'; reports: { serial_no: string; status: UpdateReport['status'] }[] }
  /** What was delivered so many calls before comes once more, as a bridge brings it that was cut off. */
  | { do: 'redeliver'; back: number }
  /** A device's heartbeat. */
  | { do: 'hear'; serial_no: string; version: string }
  /** A device asks for itself. */
  | { do: 'check'; serial_no: string }
  | { do: 'skip'; serial_no: string }
  /** The time goes on, or back. */
  | { do: 'wait'; ms: number }
  /** The object ends, so many turns of the loop after something began. */
  | { do: 'evict'; during: Action; turns: number };

export interface SeenMember {
  serial_no: string;
  stage: number;
  state: UpdateState;
  attempt: number;
  failure: FailureClass | null;
  error: string | null;
  offered_at: number | null;
}

export interface SeenState {
  status: 'active' | 'paused' | 'completed' | 'cancelled' | 'rolled_back';
  stage: number;
  counts: Record<UpdateState, number>[];
  failures: Record<FailureClass, number>[];
  errors: Record<string, number>;
  accepted: { failures: number }[];
}

export interface Seen {
  state: SeenState;
  /** In the order of the campaign. */
  members: SeenMember[];
  /** Commands for it: queued since its beginning, and still waiting. */
  queued: { ever: number; waiting: number };
}

/** What came of an action, and how things stand then. */
export interface Answer {
  ok: boolean;
  seen: Seen;
}
