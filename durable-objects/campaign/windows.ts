/** Whether updates may begin now, and when next. Pure. */
import { type Day, DEVICE_ZONE, type MaintenanceWindow } from '../../protocol/api.ts';

const DAYS: readonly Day[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const dayNames: readonly (string | undefined)[] = DAYS;
const MINUTE_MS = 60_000;
const WEEK_MINUTES = 7 * 24 * 60;

/**
 * How long until a device may begin, in milliseconds: 0 inside a window, and where there are none. Exact to the
 * minute; a window that a change of clocks skips opens with the next. `deviceZone` is the device's own, if known.
 */
export function waitForWindow(
  windows: readonly MaintenanceWindow[],
  deviceZone: string | null,
  now: number,
): number {
  if (windows.length === 0) return 0;
  return Math.min(...windows.map((window) => waitFor(window, zoneOf(window, deviceZone), now)));
}

/**
 * Until when a device that has not answered is not to blame, Unix milliseconds: no window is open now, and its time did
 * not begin when one opened. `undefined` where it is to blame.
 */
export function excusedUntil(
  windows: readonly MaintenanceWindow[],
  { zone, offered_at }: { zone: string | null; offered_at: number | null },
  now: number,
): number | undefined {
  const wait = waitForWindow(windows, zone, now);
  if (wait === 0 || offered_at === null) return undefined;
  const atOpening =
    waitForWindow(windows, zone, offered_at) === 0 &&
    waitForWindow(windows, zone, offered_at - MINUTE_MS) > 0;
  return atOpening ? undefined : now + wait;
}

/** The time zone that counts; a device that does not say its own has the window's fallback. */
function zoneOf({ time_zone, fallback_time_zone }: MaintenanceWindow, deviceZone: string | null): string {
  return time_zone === DEVICE_ZONE ? (deviceZone ?? fallback_time_zone) : time_zone;
}

function waitFor(window: MaintenanceWindow, zone: string, now: number): number {
  const { days = [...DAYS], from, to } = window;
  const here = minuteOfWeek(zone, now);
  const [start, end] = [minutes(from), minutes(to)];
  const length = end > start ? end - start : end + 24 * 60 - start;
  const waits = days.map((day) => {
    const opens = DAYS.indexOf(day) * 24 * 60 + start;
    const since = (here - opens + WEEK_MINUTES) % WEEK_MINUTES;
    return since < length ? 0 : WEEK_MINUTES - since;
  });
  const wait = Math.min(...waits);
  if (wait === 0) return 0;
  const change = changeOfClocks(zone, now, wait);
  const exact = wait - change;
  if (changeOfClocks(zone, now, exact) === change) return exact * MINUTE_MS - (now % MINUTE_MS);
  // It skips the beginning, or all of it: what is left of the window is open right behind it.
  let [before, behind] = [exact, wait];
  while (behind - before > 1) {
    const middle = Math.floor((before + behind) / 2);
    if (changeOfClocks(zone, now, middle) === change) behind = middle;
    else before = middle;
  }
  const then = now - (now % MINUTE_MS) + behind * MINUTE_MS;
  return then - now + waitFor(window, zone, then);
}

/** By how many minutes more than have passed the zone's clock will be ahead after so many. */
function changeOfClocks(zone: string, now: number, after: number): number {
  const ahead = minuteOfWeek(zone, now + after * MINUTE_MS) - minuteOfWeek(zone, now) - after;
  return ((((ahead + WEEK_MINUTES / 2) % WEEK_MINUTES) + WEEK_MINUTES) % WEEK_MINUTES) - WEEK_MINUTES / 2;
}

const minutes = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

const formats = new Map<string, Intl.DateTimeFormat>();

/** Minutes since Monday 00:00 where the clock shows the zone's time. */
function minuteOfWeek(zone: string, now: number): number {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: zone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    formats.set(zone, format);
  }
  const parts = Object.fromEntries(format.formatToParts(now).map(({ type, value }) => [type, value]));
  const day = dayNames.indexOf(parts.weekday?.toLowerCase().slice(0, 3));
  return day * 24 * 60 + Number(parts.hour) * 60 + Number(parts.minute);
}
