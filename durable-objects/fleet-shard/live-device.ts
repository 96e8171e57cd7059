/** How a device is right now, for those who ask its shard. Times are Unix milliseconds. */
import type { Heard } from './messages.ts';
import { type Presence, type Readings, shownBy } from './presence.ts';

export interface LiveDevice extends Readings {
  online: boolean;
  last_seen: number;
}

/** The same, with what runs there as far as that is remembered. */
export interface ShownDevice extends LiveDevice {
  shows?: Pick<Heard, 'current_firmware' | 'apps'>;
}

/** `undefined` where it was never heard of. */
export function liveOf(known: Presence | undefined): LiveDevice | undefined {
  if (known === undefined || known.last_seen === 0) return undefined;
  return { online: known.online, last_seen: known.last_seen, ...known.readings };
}

/** The same, with what runs there: not known of a device that was not heard since the shard's memory was lost. */
export function shownOf(known: Presence | undefined): ShownDevice | undefined {
  const live = liveOf(known);
  const shows = shownBy(known?.record);
  return live === undefined || shows === undefined ? live : { ...live, shows };
}

/** As somebody sees it who watches it. */
export function viewOf(serialNo: string, known: Presence | undefined, isClaimed: boolean) {
  const live = liveOf(known);
  return {
    serial_no: serialNo,
    status: known?.online !== true ? 'offline' : isClaimed ? 'updating' : 'online',
    current_firmware: known?.record?.current_firmware ?? null,
    last_seen: live === undefined ? null : new Date(live.last_seen).toISOString(),
    ...known?.readings,
  };
}
