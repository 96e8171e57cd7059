/** One part of the product: a process of ours, with its log, its last words and its end. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { finished as ended } from 'node:stream/promises';
import { z } from 'zod';
import { StartError } from './data.ts';

export interface Part {
  name: string;
  pid: number;
  child: ChildProcess;
  /** Resolves when it is gone, with its last words. */
  gone: Promise<string>;
  /** Asks it to end, then makes it. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const STOP_MS = 10_000;
const LAST_WORDS = 2000;

/** Starts a program; what it prints goes to `{logs}/{name}.log`. */
export function startPart(
  name: string,
  logs: string,
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Part {
  const child = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const log = createWriteStream(join(logs, `${name}.log`), { flags: 'a' });
  let words = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      log.write(chunk);
      words = (words + chunk.toString()).slice(-LAST_WORDS);
    });
  }
  const gone = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    // Not 'close': it never comes once we have hung up on a child ourselves.
    child.once('exit', async (code, signal) => {
      await Promise.all(
        [child.stdout, child.stderr].map((stream) => stream && ended(stream).catch(() => undefined)),
      );
      log.end();
      resolve(lastLine(words) ?? (signal === null ? `exit code ${code}` : `killed by ${signal}`));
    });
  });
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    // Ours end when we hang up: libraries inside answer a signal with an end of their own.
    if (child.connected) child.disconnect();
    else child.kill(signal);
    const hurry = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(hurry);
  };
  return { name, pid: child.pid ?? 0, child, gone, stop };
}

/** Starts one of our own Node programs and waits until it says `{type:'ready', …}` over IPC. */
export async function startNodePart(
  name: string,
  logs: string,
  module: URL,
  env: Record<string, string>,
  deadlineMs = 60_000,
): Promise<Part & { ready: Record<string, unknown> }> {
  const part = startPart(name, logs, process.execPath, [module.pathname], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // A part must not inherit debugging or test settings of whoever started us.
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '/', NO_COLOR: '1', ...env },
  });
  const ready = new Promise<Record<string, unknown>>((resolve) => {
    part.child.on('message', (message: { type?: string }) => {
      if (message.type === 'ready') resolve({ ...message });
    });
  });
  const facts = await within(deadlineMs, name, ready, part);
  return { ...part, ready: facts };
}

/** Waits for a part to be ready, at most `deadlineMs`. Throws {@link StartError} with its last words. */
export async function within<Value>(
  deadlineMs: number,
  name: string,
  ready: Promise<Value>,
  part: Part,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new StartError(`${name} was not ready within ${deadlineMs / 1000} s`)),
      deadlineMs,
    );
  });
  const died = part.gone.then((words) => {
    throw new StartError(`${name} did not start: ${words}`);
  });
  try {
    return await Promise.race([ready, late, died]);
  } catch (error) {
    await part.stop('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function lastLine(words: string): string | undefined {
  const lines = words.split('\n').filter((line) => line.trim() !== '');
  const telling = lines.findLast((line) => /error|fatal|cannot|failed/i.test(line)) ?? lines.at(-1);
  return telling && wordsOf(telling.trim()).slice(0, 500);
}

/** What a log line of ours says; another's line as it is. */
function wordsOf(line: string): string {
  try {
    return z.object({ msg: z.string() }).parse(JSON.parse(line)).msg;
  } catch {
    return line;
  }
}
