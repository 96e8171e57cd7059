/** From operations, counted, to dollars a month. Pure. */
import { MAX_BATCH_MESSAGES } from '../../protocol/bridge.ts';
import { SHARD_COUNT } from '../../protocol/shards.ts';
import { type Billed, PRICES } from './prices.ts';

export interface Fleet {
  devices: number;
  heartbeat_s: number;
  updates_a_month: number;
}

/** Billable operations; see `test/billable`. */
export interface Operations {
  requests: number;
  object_calls: number;
  alarms: number;
  rows_written: number;
  redis: number;
  sql: number;
  log_lines: number;
}

/** What was counted for one batch of heartbeats without news, one ring of a shard's alarm, one device's update. */
export interface Measured {
  batch: Operations;
  alarm: Operations;
  update: Operations;
}

export interface Line {
  what: Billed;
  units: number;
  usd: number;
}

const MONTH_S = 30 * 86_400;
/** As long as a bridge collects heartbeats, and as often as a shard's alarm rings. */
const COLLECT_S = 3;
const ALARM_S = 10;
/** A row's share of the write-ahead log, as the bench `wal` has it. */
const LOG_BYTES = 150;
/** The ledger's `last_seen` of a device that is online is written this often. */
const COARSE_S = 6 * 3600;

/** What nothing here measures. */
const ASSUMED = {
  cpu_ms_a_request: 10,
  object_s_a_call: 0.02,
  object_gb: 0.128,
  log_sampling: 0.01,
  /** Compute units always on: a quarter at the least. */
  cu_a_million_devices: 2,
  least_cu: 0.25,
  history_days: 7,
  /** A device's row with its indexes, and what an update leaves behind. */
  device_bytes: 600,
  update_bytes: 2400,
  /** Ranges of 1 MB of an image of 5 MB, none of them out of the edge's cache. */
  reads_a_download: 5,
} as const;

/** Heartbeats in a batch: what comes for a shard while the bridge collects. */
export function batchSize({ devices, heartbeat_s }: Fleet): number {
  return Math.min(MAX_BATCH_MESSAGES, 1 + (devices / heartbeat_s / SHARD_COUNT) * COLLECT_S);
}

/** A month's operations of a fleet. */
export function monthlyOperations(fleet: Fleet, measured: Measured): Operations {
  const heartbeats = (fleet.devices * MONTH_S) / fleet.heartbeat_s;
  const batches = heartbeats / batchSize(fleet);
  const rings = (Math.min(fleet.devices, SHARD_COUNT) * MONTH_S) / ALARM_S;
  const updates = fleet.devices * fleet.updates_a_month;
  const sum = (key: keyof Operations) =>
    measured.batch[key] * batches + measured.alarm[key] * rings + measured.update[key] * updates;
  return {
    requests: sum('requests'),
    object_calls: sum('object_calls'),
    alarms: sum('alarms'),
    rows_written: sum('rows_written'),
    redis: sum('redis'),
    sql: sum('sql'),
    log_lines: sum('log_lines'),
  };
}

/**
 * What that costs, line by line. Without the MQTT broker and the machine of the bridge. `objects`: the platform bills
 * an object only while it does something, or, at worst, the shards' all the time.
 */
export function monthlyCost(
  { devices, updates_a_month }: Fleet,
  operations: Operations,
  objects: 'idle when they are' | 'never idle',
): Line[] {
  const updates = devices * updates_a_month;
  const calls = operations.object_calls + operations.alarms;
  const objectSeconds =
    objects === 'never idle' ? Math.min(devices, SHARD_COUNT) * MONTH_S : calls * ASSUMED.object_s_a_call;
  const rows = (devices * MONTH_S) / COARSE_S + operations.sql;
  const units: Record<Billed, number> = {
    plan: 1,
    worker_requests: operations.requests,
    worker_cpu_ms: operations.requests * ASSUMED.cpu_ms_a_request,
    // A line for each invocation, of the Worker and of its objects.
    log_lines: (operations.requests + calls + operations.log_lines) * ASSUMED.log_sampling,
    object_requests: calls,
    object_gb_s: objectSeconds * ASSUMED.object_gb,
    object_rows_written: operations.rows_written,
    r2_reads: updates * ASSUMED.reads_a_download,
    redis_commands: operations.redis,
    postgres_cu_hours:
      Math.max(ASSUMED.least_cu, (ASSUMED.cu_a_million_devices * devices) / 1e6) * (MONTH_S / 3600),
    postgres_gb: (devices * ASSUMED.device_bytes + updates * ASSUMED.update_bytes) / 1e9,
    postgres_history_gb: ((rows * LOG_BYTES) / 1e9) * (ASSUMED.history_days / 30),
  };
  return Object.entries(units).map(([name, n]) => {
    const what = name as Billed;
    const { usd, per, included } = PRICES[what];
    return { what, units: n, usd: (Math.max(0, n - included) / per) * usd };
  });
}

export const total = (lines: readonly Line[]): number => lines.reduce((sum, { usd }) => sum + usd, 0);
