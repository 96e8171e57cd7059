/** List prices in US dollars. Read the pages again before quoting them to anybody. */

/** The month for which they are, from copies of the pages below, some of them half a year older. */
export const PRICES_AS_OF = '2026-11';

export interface Price {
  /** For so many, above those included in a month. */
  usd: number;
  per: number;
  included: number;
  /** The page it stands on. */
  source: string;
}

const WORKERS = 'https://developers.cloudflare.com/workers/platform/pricing/';
const OBJECTS = 'https://developers.cloudflare.com/durable-objects/platform/pricing/';
const NEON = 'https://neon.com/docs/introduction/plans';

export const PRICES = {
  /** Workers Paid, a month. */
  plan: { usd: 5, per: 1, included: 0, source: WORKERS },
  worker_requests: { usd: 0.3, per: 1e6, included: 10e6, source: WORKERS },
  worker_cpu_ms: { usd: 0.02, per: 1e6, included: 30e6, source: WORKERS },
  log_lines: {
    usd: 0.6,
    per: 1e6,
    included: 20e6,
    source: 'https://developers.cloudflare.com/workers/observability/logs/workers-logs/',
  },
  /** Calls of objects, and their alarms. */
  object_requests: { usd: 0.15, per: 1e6, included: 1e6, source: OBJECTS },
  object_gb_s: { usd: 12.5, per: 1e6, included: 400_000, source: OBJECTS },
  object_rows_written: { usd: 1, per: 1e6, included: 50e6, source: OBJECTS },
  /** Operations that read; what goes out is free. */
  r2_reads: {
    usd: 0.36,
    per: 1e6,
    included: 10e6,
    source: 'https://developers.cloudflare.com/r2/pricing/',
  },
  redis_commands: {
    usd: 0.2,
    per: 100_000,
    included: 0,
    source: 'https://upstash.com/docs/redis/overall/billing',
  },
  /** Launch plan: an hour of a compute unit, and GB for a month. */
  postgres_cu_hours: { usd: 0.106, per: 1, included: 0, source: NEON },
  postgres_gb: { usd: 0.35, per: 1, included: 0, source: NEON },
  /** GB of write-ahead log kept to restore from, for a month. */
  postgres_history_gb: { usd: 0.2, per: 1, included: 0, source: NEON },
} as const satisfies Record<string, Price>;

export type Billed = keyof typeof PRICES;
