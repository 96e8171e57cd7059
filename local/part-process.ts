/** What all of our child processes do alike: say when ready, log JSON lines, end cleanly, end with their parent. */

/** Prints one JSON line on stderr. */
export function log(part: string, level: 'info' | 'warn' | 'error', msg: string, more: object = {}): void {
  process.stderr.write(`${JSON.stringify({ level, part, msg, ...more })}\n`);
}

/** Runs a part: `start` brings it up and answers its facts and how to close it. */
export async function runPart(
  name: string,
  start: () => Promise<{ facts: object; close: () => Promise<void> }>,
): Promise<void> {
  try {
    const { facts, close } = await start();
    let closing = false;
    const end = async () => {
      if (closing) return;
      closing = true;
      try {
        await close();
        process.exit(0);
      } catch (error) {
        log(name, 'error', `did not close cleanly: ${String(error)}`);
        process.exit(1);
      }
    };
    process.on('SIGTERM', end).on('SIGINT', end).on('disconnect', end);
    process.send?.({ type: 'ready', ...facts });
  } catch (error) {
    log(name, 'error', error instanceof Error ? error.message : String(error));
    process.exit(1);
  }
}
