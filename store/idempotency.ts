/** Answers to writes that carried an `Idempotency-Key`, so that a repeated request does its work once. */
import { and, eq, lt, sql } from 'drizzle-orm';
import type { Database } from './connection.ts';
import { idempotencyKeys } from './schema.ts';

const KEEP_MS = 24 * 3_600_000;
/** Whoever claimed a key this long ago and has not answered will not any more: its process is gone. */
const LOST_MS = 120_000;

/** An answer, as far as it is kept. */
export interface KeptAnswer {
  status: number;
  body: string;
  etag: string | null;
}

/** What is known of a key: it is ours to answer now, or was answered, or is being answered, or is another request's. */
export type Claim =
  | { kind: 'ours' }
  | ({ kind: 'answered' } & KeptAnswer)
  | { kind: 'in_progress' }
  | { kind: 'other_request' };

/** Claims a key for a request; of two at the same time exactly one gets `ours`. */
export async function claimKey(
  db: Database,
  actor: string,
  key: string,
  requestDigest: string,
  now: Date,
): Promise<Claim> {
  const mine = and(eq(idempotencyKeys.actor, actor), eq(idempotencyKeys.key, key));
  const [, inserted, rows] = await db.batch([
    db.delete(idempotencyKeys).where(lt(idempotencyKeys.createdAt, new Date(now.getTime() - KEEP_MS))),
    db
      .insert(idempotencyKeys)
      .values({ actor, key, requestDigest, createdAt: now })
      .onConflictDoUpdate({
        target: [idempotencyKeys.actor, idempotencyKeys.key],
        set: { createdAt: now },
        setWhere: sql`${idempotencyKeys.status} IS NULL AND ${idempotencyKeys.requestDigest} = ${requestDigest}
          AND ${idempotencyKeys.createdAt} < ${new Date(now.getTime() - LOST_MS).toISOString()}`,
      })
      .returning(),
    db.select().from(idempotencyKeys).where(mine),
  ]);
  if (inserted.length === 1) return { kind: 'ours' };
  const [row] = rows;
  if (row === undefined) return { kind: 'in_progress' };
  if (row.requestDigest !== requestDigest) return { kind: 'other_request' };
  if (row.status === null || row.body === null) return { kind: 'in_progress' };
  return { kind: 'answered', status: row.status, body: row.body, etag: row.etag };
}

/** Keeps the answer for whoever asks again. */
export async function keepAnswer(
  db: Database,
  actor: string,
  key: string,
  answer: KeptAnswer,
): Promise<void> {
  await db
    .update(idempotencyKeys)
    .set(answer)
    .where(and(eq(idempotencyKeys.actor, actor), eq(idempotencyKeys.key, key)));
}

/** Gives a key back: the request failed in a way that may be tried again. */
export async function releaseKey(db: Database, actor: string, key: string): Promise<void> {
  await db.delete(idempotencyKeys).where(and(eq(idempotencyKeys.actor, actor), eq(idempotencyKeys.key, key)));
}
