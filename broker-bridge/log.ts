/** One JSON line on stderr. Never a payload, never a credential. */
export function log(level: 'info' | 'warn' | 'error', msg: string, more: object = {}): void {
  process.stderr.write(`${JSON.stringify({ level, part: 'bridge', msg, ...more })}\n`);
}
