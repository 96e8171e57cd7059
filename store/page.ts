/** Keyset pages: a cursor is the sort key of the last row of the page before it. */
import { and, type Column, eq, lt, or, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Page } from '../protocol/api.ts';
import { isStorable } from '../protocol/identifiers.ts';

const text = z.string().refine(isStorable);
/** What a list is sorted by, as its cursors have it. */
export const nameKey = z.tuple([text]);
export const nameAndIdKey = z.tuple([text, text]);
export const timeKey = z.tuple([z.iso.datetime(), text]);
export const timeAndUuidKey = z.tuple([z.iso.datetime(), z.uuid()]);

/** Thrown where a cursor was not made by this list. */
export class BadCursor extends Error {}

/** The sort key inside a cursor; `undefined` for the first page. Throws {@link BadCursor}. */
export function readCursor<Key>(cursor: string | undefined, key: z.ZodType<Key>): Key | undefined {
  if (cursor === undefined) return undefined;
  try {
    return key.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()));
  } catch {
    throw new BadCursor('this cursor was not made by this list: leave it out to start again');
  }
}

/** What comes behind a cursor where the newest is first, and of one moment the highest id; all, without a cursor. */
export function behind(
  cursor: readonly [at: string, id: string] | undefined,
  at: Column,
  id: Column,
): SQL | undefined {
  if (cursor === undefined) return undefined;
  const moment = sql`${cursor[0]}::timestamptz`;
  return or(lt(at, moment), and(eq(at, moment), lt(id, cursor[1])));
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
