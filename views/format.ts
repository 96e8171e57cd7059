/** Numbers, sizes and times for people. Times are shown in UTC, which every log uses too. */

const number = new Intl.NumberFormat('en');
const date = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'medium',
  timeStyle: 'medium',
  timeZone: 'UTC',
});
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

const STEPS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const;

export const count = (n: number): string => number.format(n);

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`;

/** `5.2 MB` */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** `20 Nov 2026, 12:34:56 UTC` */
export const absolute = (iso: string): string => `${date.format(new Date(iso))} UTC`;

/** `3 minutes ago` */
export function ago(iso: string, now: Date): string {
  const seconds = Math.round((new Date(iso).getTime() - now.getTime()) / 1000);
  const [unit, length] = STEPS.find(([, step]) => Math.abs(seconds) >= step) ?? (['second', 1] as const);
  if (unit === 'second' && Math.abs(seconds) < 5) return 'just now';
  return relative.format(Math.trunc(seconds / length), unit);
}

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const;

/** `0.4 s`, `12 s`, `3 min 20 s`, `2 d 4 h`: the two largest units. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${Math.round(seconds * 10) / 10} s`;
  let left = Math.round(seconds);
  const parts = UNITS.flatMap(([unit, length]) => {
    const n = Math.floor(left / length);
    left -= n * length;
    return n === 0 ? [] : [{ unit, n, length }];
  });
  const [first, second] = parts;
  const near = first !== undefined && second !== undefined && second.length >= first.length / 60;
  return parts
    .slice(0, near ? 2 : 1)
    .map(({ unit, n }) => `${n} ${unit}`)
    .join(' ');
}

/** A value a device has named: text as it is, anything else as JSON. */
export const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
