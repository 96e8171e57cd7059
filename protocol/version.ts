/**
 * Firmware versions: parsing, order and ranges.
 *
 * The order is that of Semantic Versioning 2.0.0 §11, widened to what device makers really write: an optional
 * leading `v`, one to four numeric parts (a missing part is 0), a pre-release behind `-`, build metadata behind
 * `+` (which does not count in the order).
 */

/** A parsed version. `numbers` always has four entries. */
export interface Version {
  readonly numbers: readonly [bigint, bigint, bigint, bigint];
  readonly prerelease: readonly string[];
}

const PATTERN =
  /^[vV]?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$/;

/** The version written in `text`, or `undefined` where it is not one. */
export function parseVersion(text: string): Version | undefined {
  const match = PATTERN.exec(text);
  if (match === null) return undefined;
  const part = (index: number) => BigInt(match[index] ?? '0');
  return { numbers: [part(1), part(2), part(3), part(4)], prerelease: match[5]?.split('.') ?? [] };
}

/**
 * Negative where `a` is older than `b`, positive where newer, 0 where equal in order. Text that is no version
 * sorts before every version, and among itself by code units, so that the order stays total.
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parseVersion(a), parseVersion(b)];
  if (left === undefined || right === undefined) {
    if (left !== undefined) return 1;
    if (right !== undefined) return -1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  for (const [index, number] of left.numbers.entries()) {
    const other = right.numbers[index] ?? 0n;
    if (number !== other) return number < other ? -1 : 1;
  }
  return comparePrereleases(left.prerelease, right.prerelease);
}

/** Whether two spellings name the same version: `v1.1`, `1.1.0` and `1.1.0+build7` do. */
export function sameVersion(a: string, b: string): boolean {
  return a === b || (parseVersion(a) !== undefined && compareVersions(a, b) === 0);
}

/** How devices may spell this version, build metadata aside: with and without `v`, and without trailing zeros. */
export function spellings(text: string): string[] {
  const version = parseVersion(text);
  if (version === undefined) return [text];
  const { numbers, prerelease } = version;
  const needed = Math.max(1, numbers.findLastIndex((number) => number !== 0n) + 1);
  const behind = prerelease.length === 0 ? '' : `-${prerelease.join('.')}`;
  const said = [1, 2, 3, 4]
    .filter((parts) => parts >= needed)
    .flatMap((parts) =>
      ['', 'v', 'V'].map((prefix) => `${prefix}${numbers.slice(0, parts).join('.')}${behind}`),
    );
  return [...new Set([text, ...said])];
}

/** One comparison of a range, such as `< v1.1.0`. */
interface Comparator {
  readonly operator: '<' | '<=' | '>' | '>=' | '=' | '!=';
  readonly version: string;
}

/** A conjunction of comparisons; every one of them must hold. */
export type VersionRange = readonly Comparator[];

/**
 * The range written in `text`: comparisons separated by spaces or commas, all of which must hold, as in
 * `>= v1.0.0 < v1.1.0`. A bare version means `=`. `undefined` where the text is no range.
 */
export function parseVersionRange(text: string): VersionRange | undefined {
  const tokens = text.match(/(<=|>=|!=|==|<|>|=)?\s*[^\s,<>=!]+/g);
  if (tokens === null || tokens.join('').replace(/[\s,]/g, '') !== text.replace(/[\s,]/g, ''))
    return undefined;
  const comparators: Comparator[] = [];
  for (const token of tokens) {
    const match = /^(<=|>=|!=|==|<|>|=)?\s*(.+)$/.exec(token);
    const version = match?.[2]?.trim();
    if (version === undefined || parseVersion(version) === undefined) return undefined;
    const written = match?.[1] ?? '=';
    comparators.push({ operator: (written === '==' ? '=' : written) as Comparator['operator'], version });
  }
  return comparators;
}

/** Whether `version` lies in `range`. Text that is no version lies in none but the empty range. */
export function inRange(version: string, range: VersionRange): boolean {
  if (range.length === 0) return true;
  if (parseVersion(version) === undefined) return false;
  return range.every(({ operator, version: bound }) => HOLDS[operator](compareVersions(version, bound)));
}

const HOLDS: Record<Comparator['operator'], (order: number) => boolean> = {
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
  '=': (order) => order === 0,
  '!=': (order) => order !== 0,
};

/** Semantic Versioning 2.0.0 §11.3–11.4. */
function comparePrereleases(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return b.length - a.length === 0 ? 0 : a.length === 0 ? 1 : -1;
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const [left, right] = [a[index], b[index]];
    if (left === undefined) return -1;
    if (right === undefined) return 1;
    const order = compareIdentifiers(left, right);
    if (order !== 0) return order;
  }
  return 0;
}

function compareIdentifiers(a: string, b: string): number {
  const [aNumeric, bNumeric] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (aNumeric && bNumeric) {
    const [left, right] = [BigInt(a), BigInt(b)];
    return left < right ? -1 : left > right ? 1 : 0;
  }
  if (aNumeric !== bNumeric) return aNumeric ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
