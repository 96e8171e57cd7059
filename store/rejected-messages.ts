/** Device messages that could not be understood: bounded, newest kept. */
import { desc, sql } from 'drizzle-orm';
import type { Page, Paging } from '../protocol/api.ts';
import type { Database } from './connection.ts';
import { behind, pageOf, readCursor, timeKey } from './page.ts';
import { rejectedMessages } from './schema.ts';

const KEPT = 10_000;

export interface RejectedMessage {
  id: string;
  at: Date;
  topic: string;
  reason: string;
  excerpt: string;
}

/** Stores rejected messages (a repeated id once, as of when it came last) and forgets the oldest beyond 10,000. */
export async function addRejected(db: Database, messages: readonly RejectedMessage[]): Promise<void> {
  if (messages.length === 0) return;
  await db.batch([
    db
      .insert(rejectedMessages)
      .values([...new Map(messages.map((message) => [message.id, message])).values()])
      .onConflictDoUpdate({
        target: rejectedMessages.id,
        set: { at: sql`GREATEST(${rejectedMessages.at}, excluded.at)` },
      }),
    db.execute(sql`DELETE FROM rejected_messages WHERE (at, id) <=
      (SELECT at, id FROM rejected_messages ORDER BY at DESC, id DESC OFFSET ${KEPT} LIMIT 1)`),
  ]);
}

/** The rejected messages, newest first. */
export async function listRejected(db: Database, paging: Paging): Promise<Page<RejectedMessage>> {
  const cursor = readCursor(paging.cursor, timeKey);
  const before = behind(cursor, rejectedMessages.at, rejectedMessages.id);
  const rows = await db
    .select()
    .from(rejectedMessages)
    .where(before)
    .orderBy(desc(rejectedMessages.at), desc(rejectedMessages.id))
    .limit(paging.limit + 1);
  return pageOf(
    rows,
    paging.limit,
    (row) => [row.at.toISOString(), row.id],
    (row) => row,
  );
}
