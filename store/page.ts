/** Keyset pages: a cursor is the sort key of the last row of the page before it. */
import { z } from 'zod';
import type { Page } from '../protocol/api.ts';

const parts = z.array(z.string()).max(4);

/** Thrown where a cursor was not made by `pageOf`. */
export class BadCursor extends Error {}

/** The sort key inside a cursor; `undefined` for the first page. Throws {@link BadCursor}. */
export function readCursor(cursor: string | undefined): string[] | undefined {
  if (cursor === undefined) return undefined;
  try {
    return parts.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()));
  } catch {
    throw new BadCursor('this cursor was not made by this list: leave it out to start again');
  }
}

/** A page out of `limit + 1` rows read: the extra row only tells that there is more. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => string[],
  itemOf: (row: Row) => Item,
): Page<Item> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const more = rows.length > limit && last !== undefined;
  return {
    items: items.map(itemOf),
    next_cursor: more ? Buffer.from(JSON.stringify(keyOf(last))).toString('base64url') : null,
  };
}
