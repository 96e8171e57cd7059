import { readFileSync, statSync } from 'node:fs';
import { WrongUsage } from './api-client.ts';

/** A text file somebody has named. Throws {@link WrongUsage} where there is none. */
export function readText(file: string): string {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true)
    throw new WrongUsage(`there is no file ${file}`);
  return readFileSync(file, 'utf8');
}

/** Throws {@link WrongUsage} unless somebody has named a file, with something in it and at most so many bytes. */
export function mustHaveBytes(file: string, most = Number.POSITIVE_INFINITY): void {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isFile() !== true) throw new WrongUsage(`there is no file ${file}`);
  if (found.size === 0) throw new WrongUsage(`${file} is empty`);
  if (found.size > most) throw new WrongUsage(`${file} has more than ${most} bytes`);
}
