/** How many updates may begin now. Pure but for the bucket's level. */
import type { CampaignPolicy } from '../../protocol/api.ts';

/** What adding up fractions may lack of a whole. */
const ROUNDING = 1e-9;

/** The rate a campaign has reached: with a ramp it grows with every so many completed updates. */
export function rateNow(
  { rate_per_minute, ramp }: Pick<CampaignPolicy, 'rate_per_minute' | 'ramp'>,
  completed: number,
): number {
  if (ramp === undefined || ramp === null) return rate_per_minute;
  const grown = ramp.base_rate_per_minute * ramp.increment_factor ** Math.floor(completed / ramp.successes);
  return Math.min(rate_per_minute, grown);
}

/** What is left in the bucket, and when that was looked at (Unix milliseconds). */
export interface PaceLevel {
  tokens: number;
  at: number;
}

/**
 * A token bucket: `rate_per_minute` evenly over the minute, with room for what comes in between two ticks of a second,
 * the later of them a little late, and for the fraction of one that was left. Below one a second that is less than two,
 * so two never begin at once. It starts with one second's worth, or with what was left before its object ended.
 */
export class Pace {
  #tokens: number;
  #at: number | undefined;

  constructor(level?: PaceLevel | null) {
    this.#tokens = level?.tokens ?? 0;
    this.#at = level?.at;
  }

  /** What is left now; `null` before anything was taken. */
  get level(): PaceLevel | null {
    return this.#at === undefined ? null : { tokens: this.#tokens, at: this.#at };
  }

  /** How long after the last look another may begin, in milliseconds. */
  wait(ratePerMinute: number): number {
    return Math.ceil(Math.max(0, 1 - ROUNDING - this.#tokens) / (ratePerMinute / 60_000));
  }

  /** How many may begin at `now` (Unix milliseconds), at most `wanted`; they count as begun. */
  take(now: number, ratePerMinute: number, wanted: number): number {
    const perMs = ratePerMinute / 60_000;
    const perSecond = perMs * 1000;
    const room = 1 + (perSecond < 1 ? perSecond : perSecond * 1.25);
    const elapsed = this.#at === undefined ? 1000 : Math.max(0, now - this.#at);
    this.#tokens = Math.min(room, this.#tokens + elapsed * perMs);
    // The very first update must not wait for a slow rate to fill the bucket.
    if (this.#at === undefined) this.#tokens = Math.max(1, this.#tokens);
    this.#at = now;
    const taken = Math.max(0, Math.min(Math.floor(this.#tokens + ROUNDING), wanted));
    this.#tokens -= taken;
    return taken;
  }

  /** So many that counted as begun did not begin. */
  giveBack(n: number): void {
    this.#tokens += n;
  }
}
