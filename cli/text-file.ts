import { existsSync, readFileSync } from 'node:fs';
import { WrongUsage } from './api-client.ts';

/** A text file somebody has named. Throws {@link WrongUsage} where there is none. */
export function readText(file: string): string {
  if (!existsSync(file)) throw new WrongUsage(`there is no file ${file}`);
  return readFileSync(file, 'utf8');
}
