import { existsSync, readFileSync, statSync } from 'node:fs';
import { WrongUsage } from './api-client.ts';

/** A text file somebody has named. Throws {@link WrongUsage} where there is none. */
export function readText(file: string): string {
  if (!existsSync(file)) throw new WrongUsage(`there is no file ${file}`);
  return readFileSync(file, 'utf8');
}

/** Throws {@link WrongUsage} unless somebody has named a file, and there is something in it. */
export function mustHaveBytes(file: string): void {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isFile() !== true) throw new WrongUsage(`there is no file ${file}`);
  if (found.size === 0) throw new WrongUsage(`${file} is empty`);
}
