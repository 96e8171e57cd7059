/** Maintenance windows as they are written on the command line: `mon-fri 01:00-05:00 Europe/Berlin`. */
import { type MaintenanceWindow, maintenanceWindow } from '../protocol/campaign-policy.ts';
import { WrongUsage } from './api-client.ts';

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const HOW = 'write it as "mon-fri 01:00-05:00 Europe/Berlin"; days and time zone may be left out';

/** Reads one. Throws {@link WrongUsage} where it is none. */
export function parseWindow(text: string): MaintenanceWindow {
  const match = /^(?:(\S*[a-z]\S*)\s+)?(\d\d:\d\d)-(\d\d:\d\d)(?:\s+(\S+))?$/.exec(text.trim());
  if (match === null) throw new WrongUsage(`--window: ${HOW}`);
  const [, days, from, to, time_zone] = match;
  const window = maintenanceWindow.safeParse({
    ...(days === undefined || days === 'daily' ? {} : { days: days.split(',').flatMap(daysOf) }),
    from,
    to,
    time_zone,
  });
  if (window.success) return window.data;
  throw new WrongUsage(`--window: ${window.error.issues[0]?.message ?? HOW}`);
}

/** `mon-fri` as five days; over the end of the week, too. */
function daysOf(text: string): string[] {
  const [first = '', last = first] = text.split('-');
  const [from, to] = [DAYS.indexOf(first), DAYS.indexOf(last)];
  if (from === -1 || to === -1) throw new WrongUsage(`--window: days are ${DAYS.join(', ')}`);
  return Array.from({ length: ((to - from + 7) % 7) + 1 }, (_, i) => DAYS[(from + i) % 7] ?? '');
}
