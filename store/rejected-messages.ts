/** Device messages that could not be understood: bounded, newest kept. */
import { desc, sql } from 'drizzle-orm';
import type { Database } from './connection.ts';
import { rejectedMessages } from './schema.ts';

const KEPT = 10_000;

export interface RejectedMessage {
  id: string;
  at: Date;
  topic: string;
  reason: string;
  excerpt: string;
}

/** Stores rejected messages (a repeated id once) and forgets the oldest beyond 10,000. */
export async function addRejected(db: Database, messages: readonly RejectedMessage[]): Promise<void> {
  if (messages.length === 0) return;
  await db.batch([
    db
      .insert(rejectedMessages)
      .values([...messages])
      .onConflictDoNothing(),
    db.execute(sql`DELETE FROM rejected_messages WHERE at <
      (SELECT at FROM rejected_messages ORDER BY at DESC OFFSET ${KEPT} LIMIT 1)`),
  ]);
}

/** The latest rejected messages. */
export async function listRejected(db: Database, limit: number): Promise<RejectedMessage[]> {
  return db.select().from(rejectedMessages).orderBy(desc(rejectedMessages.at)).limit(limit);
}
