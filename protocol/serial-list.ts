/** Serial numbers out of what people have: a CSV file, a column of a table, a list. Pure. */

/** One cell and what ends it (RFC 4180; semicolons and tabs as spreadsheets write them). */
const CELL = /(?:"((?:[^"]|"")*)"|([^,;\t]*))([,;\t]|$)/y;

/**
 * The serial numbers of a text, each once: of a table whose first line names a column `serial_no` that column, else
 * every cell. They are not checked.
 */
export function serialNosOf(text: string): string[] {
  const lines = text
    .replace(/^\u{feff}/u, '')
    .split(/\r\n|\n|\r/)
    .map(cellsOf)
    .filter((cells) => cells.some((cell) => cell !== ''));
  const column = lines[0]?.indexOf('serial_no') ?? -1;
  const found = column === -1 ? lines.flat() : lines.slice(1).map((cells) => cells[column] ?? '');
  return [...new Set(found.filter((serial) => serial !== ''))];
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
