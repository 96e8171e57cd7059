/** What a Skylark that was killed outright has left running: a server does not end with whoever started it. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { isAlive } from './data.ts';
import { until } from './until.ts';

/** Ends the program that wrote this file, its pid in the first line, where it still runs. */
export async function endLeftOver(program: string, pidFile: string): Promise<void> {
  if (!existsSync(pidFile)) return;
  const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
  if (!(pid > 0) || !isAlive(pid) || !isOf(program, pid)) return;
  process.kill(pid, 'SIGINT');
  await until(() => !isAlive(pid), `the ${program} left over from before (process ${pid}) to end`);
}

/** The pid may meanwhile be somebody else's. */
function isOf(program: string, pid: number): boolean {
  try {
    accessSync('/proc', constants.R_OK);
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(program);
  } catch {
    return !existsSync('/proc');
  }
}
