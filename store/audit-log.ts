/** Who did what. Rows are only ever added. */
import { and, desc, eq, gte } from 'drizzle-orm';
import type { Page, Paging } from '../protocol/api.ts';
import type { AuditFilter, AuditRecord } from '../protocol/audit.ts';
import type { Database } from './connection.ts';
import { behind, pageOf, readCursor, timeAndUuidKey } from './page.ts';
import { auditLog } from './schema.ts';

export interface AuditEntry {
  actor: string;
  /** What was done, as `thing.verb`: `campaign.start`. */
  action: string;
  /** To what: an ID, a serial number. */
  subject: string;
  allowed?: boolean;
  /** Never a secret. */
  detail?: Record<string, unknown>;
}

/** The statement that adds an entry; batch it with the write it tells of. */
export function auditEntry(db: Database, entry: AuditEntry) {
  // The database's own clock is finer than a cursor.
  return db.insert(auditLog).values({ ...entry, at: new Date() });
}

/** Whether somebody has done this to that, since a moment. */
export async function hasDone(
  db: Database,
  { actor, action, subject }: Pick<AuditEntry, 'actor' | 'action' | 'subject'>,
  since: Date,
): Promise<boolean> {
  const done = and(eq(auditLog.actor, actor), eq(auditLog.action, action), eq(auditLog.subject, subject));
  const rows = await db
    .select({ id: auditLog.id })
    .from(auditLog)
    .where(and(gte(auditLog.at, since), done))
    .limit(1);
  return rows.length > 0;
}

/** A page of the log, newest first. */
export async function listAudit(
  db: Database,
  { actor, action, subject, allowed }: AuditFilter,
  paging: Paging,
): Promise<Page<AuditRecord>> {
  const cursor = readCursor(paging.cursor, timeAndUuidKey);
  const rows = await db
    .select()
    .from(auditLog)
    .where(
      and(
        actor === undefined ? undefined : eq(auditLog.actor, actor),
        action === undefined ? undefined : eq(auditLog.action, action),
        subject === undefined ? undefined : eq(auditLog.subject, subject),
        allowed === undefined ? undefined : eq(auditLog.allowed, allowed),
        behind(cursor, auditLog.at, auditLog.id),
      ),
    )
    .orderBy(desc(auditLog.at), desc(auditLog.id))
    .limit(paging.limit + 1);
  return pageOf(
    rows,
    paging.limit,
    (row) => [row.at.toISOString(), row.id],
    (row) => ({ ...row, at: row.at.toISOString() }),
  );
}
