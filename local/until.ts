import { StartError } from './data.ts';

const DEADLINE_MS = 60_000;

/** Asks again every 50 ms: neither a foreign process's end nor an open port is an event. Throws {@link StartError}. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new StartError(`waited ${deadlineMs / 1000} s in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
