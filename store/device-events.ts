/** What happened to a device: its timeline. An event's id is a digest of its message, so a repeated one is one. */
import { and, desc, eq, type SQL, sql } from 'drizzle-orm';
import type { DeviceEvent, Page, Paging } from '../protocol/api.ts';
import { batchRows } from './batch-rows.ts';
import type { Database } from './connection.ts';
import { behind, pageOf, readCursor, timeKey } from './page.ts';
import { deviceEvents } from './schema.ts';

export interface NewDeviceEvent {
  id: string;
  device_id: string;
  at: Date;
  /** That is when it was received, for the device's clock cannot be right: it may be received again. */
  is_received?: boolean;
  kind: string;
  detail: Record<string, unknown>;
}

/** The statement that adds these events; those already there stay as they are. */
export function insertEvents(db: Database, events: readonly NewDeviceEvent[]) {
  const rows = batchRows([
    ['text', events.map(({ id }) => id)],
    ['uuid', events.map(({ device_id }) => device_id)],
    ['timestamptz', events.map(({ at }) => at.toISOString())],
    ['text', events.map(({ kind }) => kind)],
    ['jsonb', events.map(({ detail }) => JSON.stringify(detail))],
    ['boolean', events.map(({ is_received = false }) => is_received)],
  ]);
  return db.execute(sql`
    INSERT INTO device_events (id, device_id, at, kind, detail)
    SELECT r.id, r.device_id, r.at, r.kind, r.detail
    FROM ${rows} AS r(id, device_id, at, kind, detail, is_received)
    WHERE NOT r.is_received OR NOT EXISTS (SELECT FROM device_events e WHERE e.id = r.id)
    ON CONFLICT DO NOTHING`);
}

/**
 * The statement that notes that devices came or went. `rows` is a relation with their `id`, `at` when each did: their
 * digest is the event's id.
 */
export const noteConnection = (kind: 'online' | 'offline', rows: SQL, at: SQL): SQL => sql`
  INSERT INTO device_events (id, device_id, at, kind)
  SELECT md5(concat_ws(' ', ${kind}::text, id, ${at})), id, ${at}, ${kind}::text FROM ${rows}
  ON CONFLICT DO NOTHING`;

/** A device's timeline, newest first. */
export async function listEvents(db: Database, deviceId: string, paging: Paging): Promise<Page<DeviceEvent>> {
  const cursor = readCursor(paging.cursor, timeKey);
  const before = behind(cursor, deviceEvents.at, deviceEvents.id);
  const rows = await db
    .select()
    .from(deviceEvents)
    .where(and(eq(deviceEvents.deviceId, deviceId), before))
    .orderBy(desc(deviceEvents.at), desc(deviceEvents.id))
    .limit(paging.limit + 1);
  return pageOf(
    rows,
    paging.limit,
    (row) => [row.at.toISOString(), row.id],
    (row) => ({ id: row.id, at: row.at.toISOString(), kind: row.kind, detail: row.detail }),
  );
}
