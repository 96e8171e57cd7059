/** What the CLI prints: data on stdout, everything else on stderr, in colour and in place only for people. */
import { styleText } from 'node:util';

const BAR = 24;

/** A table with a header, columns padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [styleText('bold', line(header), { stream: process.stdout }), ...rows.map(line)].join('\n');
}

/** A bar of full and empty cells for a share from 0 to 1. */
export function bar(share: number, width = BAR): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

/** Progress of something that takes long: one line redrawn on a terminal, a line every tenth elsewhere. */
export class Progress {
  readonly #label: string;
  readonly #total: number;
  /** What was there before: it says nothing of how fast this goes. */
  readonly #before: number;
  readonly #started = Date.now();
  #told = -1;

  constructor(label: string, total: number, before = 0) {
    this.#label = label;
    this.#total = total;
    this.#before = before;
  }

  /** Tells that `done` of the total bytes are there. */
  tell(done: number): void {
    const share = this.#total === 0 ? 1 : done / this.#total;
    const seconds = (Date.now() - this.#started) / 1000;
    const rate = seconds > 0.2 ? (done - this.#before) / seconds : undefined;
    const left = rate === undefined || rate === 0 ? '' : `, ${Math.ceil((this.#total - done) / rate)} s left`;
    const text = `${this.#label} ${bar(share)} ${Math.floor(share * 100)} %${rate === undefined ? '' : ` at ${bytes(rate)}/s${share < 1 ? left : ''}`}`;
    if (process.stderr.isTTY) {
      process.stderr.write(`\r\u001b[K${text}${share >= 1 ? '\n' : ''}`);
      return;
    }
    const tenth = Math.floor(share * 10);
    if (tenth > this.#told) process.stderr.write(`${text}\n`);
    this.#told = Math.max(this.#told, tenth);
  }
}

export function bytes(n: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, n)) / 3)));
  return `${(n / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
