/** What all answers of the API have in common. */
import { z } from 'zod';
import { text } from './identifiers.ts';

/** RFC 9457 problem details, with one entry of `errors` per field that was wrong. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  instance?: string;
  errors?: { field: string; message: string }[];
}

/** A page of a list; pass `next_cursor` as `cursor` to read on. */
export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

export const paging = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: text(500).optional(),
});
export type Paging = z.infer<typeof paging>;
