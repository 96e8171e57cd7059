/** Serial numbers out of what people have: a CSV file, a column of a table, a list. Pure. */

/** One cell and what ends it (RFC 4180; semicolons and tabs as spreadsheets write them). */
const CELL = /(?:"((?:[^"]|"")*)"|([^,;\t]*))([,;\t]|$)/y;

/**
 * The serial numbers of a text, each once: of a table whose first line names a column `serial_no` that column, else
 * every cell. They are not checked. Throws a RangeError where it looks like a table and names no such column: its other
 * columns might name devices nobody meant.
 */
export function serialNosOf(text: string): string[] {
  const lines = text
    .replace(/^\u{feff}/u, '')
    .split(/\r\n|\n|\r/)
    .map(cellsOf)
    .filter((cells) => cells.some((cell) => cell !== ''));
  const column = lines[0]?.findIndex((cell) => cell.toLowerCase() === 'serial_no') ?? -1;
  if (column === -1 && isTable(lines))
    throw new RangeError(
      `this is a table without a column "serial_no": its first line is "${lines[0]?.join(', ').slice(0, 200)}"`,
    );
  const found = column === -1 ? lines.flat() : lines.slice(1).map((cells) => cells[column] ?? '');
  return [...new Set(found.filter((serial) => serial !== ''))];
}

/** Lines of as many cells each, the first without a digit, as headings are: serial numbers rarely have none. */
function isTable([head = [], ...rows]: readonly string[][]): boolean {
  const hasDigit = (cells: readonly string[]) => cells.some((cell) => /\d/.test(cell));
  const isRow = (cells: readonly string[]) => cells.length === head.length && hasDigit(cells);
  return head.length > 1 && rows.length > 0 && !hasDigit(head) && rows.every(isRow);
}

function cellsOf(line: string): string[] {
  const cells: string[] = [];
  CELL.lastIndex = 0;
  for (let match = CELL.exec(line); match !== null; match = CELL.exec(line)) {
    cells.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim());
    if (match[3] === '') break;
  }
  return cells;
}
