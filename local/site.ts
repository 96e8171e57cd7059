/** What all the starting of parts has in common. */
import type { Repository } from '../cli/tuf-keys.ts';
import type { Authority } from './authority.ts';
import type { DataDirectory } from './data.ts';
import type { Parts } from './parts.ts';

export interface Site {
  data: DataDirectory;
  parts: Parts;
  authority: Authority;
  repository: Repository;
  /** Tells whoever started us how far it is. */
  say(line: string): void;
}

export const moduleAt = (path: string): URL => new URL(path, import.meta.url);
