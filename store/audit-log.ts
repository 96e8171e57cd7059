/** Who did what. Rows are only ever added. */
import type { Database } from './connection.ts';
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
  return db.insert(auditLog).values(entry);
}
