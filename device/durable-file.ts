/** Files that survive a power cut: written beside, flushed, renamed into place. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { z } from 'zod';

/** Replaces a file whole: afterwards it has the old bytes or the new ones, never a mixture. */
export function writeDurably(file: string, bytes: string | Uint8Array, mode = 0o644): void {
  const beside = `${file}.new`;
  const descriptor = openSync(beside, 'w', mode);
  try {
    writeSync(descriptor, typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(beside, file);
  flushDirectory(dirname(file));
}

/** A JSON file by its schema; `undefined` where it is missing or damaged, which must read the same. */
export function readJsonFile<Value>(file: string, schema: z.ZodType<Value>): Value | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return schema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined;
  }
}

export function writeJsonFile(file: string, value: unknown, mode?: number): void {
  writeDurably(file, JSON.stringify(value), mode);
}

export function removeFile(file: string): void {
  rmSync(file, { force: true });
}

/** A rename is durable when its directory is flushed. */
function flushDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
