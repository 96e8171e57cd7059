/** The `Range` header, by RFC 9110 §14. Pure. */

export type ByteRange =
  /** No range, or one to be ignored: answer 200 with everything. */
  | { kind: 'full' }
  | { kind: 'part'; offset: number; length: number }
  /** Answer 416 with `Content-Range: bytes *\/{size}`. */
  | { kind: 'unsatisfiable' };

const FULL: ByteRange = { kind: 'full' };

/** Whether a `Range` header is one range as everybody writes it, and nobody reads it in another way. */
export const isPlainRange = (header: string | undefined): header is string =>
  /^bytes=(?:\d{1,15}-\d{0,15}|-\d{1,15})$/.test(header ?? '');

/**
 * What a `Range` header asks for of a representation of `size` bytes. Units other than bytes, several ranges,
 * reversed ones and garbage are ignored, as §14.2 allows or demands.
 */
export function parseByteRange(header: string | undefined, size: number): ByteRange {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (match === null || (first === '' && last === '')) return FULL;
  if (first === '') return suffix(Number(last), size);
  const start = Number(first);
  const end = last === '' ? Number.POSITIVE_INFINITY : Number(last);
  if (end < start) return FULL;
  if (start >= size) return { kind: 'unsatisfiable' };
  return { kind: 'part', offset: start, length: Math.min(end, size - 1) - start + 1 };
}

/** The last `length` bytes. */
function suffix(length: number, size: number): ByteRange {
  if (length === 0 || size === 0) return { kind: 'unsatisfiable' };
  const take = Math.min(length, size);
  return { kind: 'part', offset: size - take, length: take };
}
