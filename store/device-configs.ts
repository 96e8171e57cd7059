/** Device settings: what the device confirmed, what it has been asked to change and not confirmed yet, and the past. */
import { and, asc, desc, eq, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { ConfigChange, ConfigEntry, Page, Paging } from '../protocol/api.ts';
import { SESSION_S } from '../protocol/bridge.ts';
import { batchRows } from './batch-rows.ts';
import { type Cache, cacheKey, TTL_S } from './cache.ts';
import type { Database } from './connection.ts';
import { behind, pageOf, readCursor, timeKey } from './page.ts';
import { deviceConfigHistory, deviceConfigs } from './schema.ts';

/** A setting as it is stored; whether a pending value has expired depends on when one looks. */
const stored = z.array(
  z.object({
    key: z.string(),
    value: z.string().nullable(),
    pending_value: z.string().nullable(),
    pending_until: z.string().nullable(),
    updated_at: z.string(),
  }),
);
type Stored = z.infer<typeof stored>;

/** A device's settings by key. */
export async function listConfig(
  db: Database,
  cache: Cache,
  deviceId: string,
  now: Date,
): Promise<ConfigEntry[]> {
  const entries = await cache.read(cacheKey.config(deviceId), stored, TTL_S.config, () =>
    readConfig(db, deviceId),
  );
  return entries.map((entry) => ({ ...entry, state: stateOf(entry, now) }));
}

function stateOf({ pending_value, pending_until }: Stored[number], now: Date): ConfigEntry['state'] {
  if (pending_value === null) return 'confirmed';
  return pending_until !== null && new Date(pending_until) <= now ? 'expired' : 'pending';
}

async function readConfig(db: Database, deviceId: string): Promise<Stored> {
  const rows = await db
    .select()
    .from(deviceConfigs)
    .where(eq(deviceConfigs.deviceId, deviceId))
    .orderBy(asc(deviceConfigs.key));
  return rows.map((row) => ({
    key: row.key,
    value: row.value,
    pending_value: row.pendingValue,
    pending_until: row.pendingUntil?.toISOString() ?? null,
    updated_at: row.updatedAt.toISOString(),
  }));
}

/** Everything a device's settings were asked to be and were, newest first; of one setting, with `key`. */
export async function listConfigHistory(
  db: Database,
  deviceId: string,
  key: string | undefined,
  paging: Paging,
): Promise<Page<ConfigChange>> {
  const history = deviceConfigHistory;
  const cursor = readCursor(paging.cursor, timeKey);
  const before = behind(cursor, history.at, history.id);
  const rows = await db
    .select()
    .from(history)
    .where(and(eq(history.deviceId, deviceId), key === undefined ? undefined : eq(history.key, key), before))
    .orderBy(desc(history.at), desc(history.id))
    .limit(paging.limit + 1);
  return pageOf(
    rows,
    paging.limit,
    (row) => [row.at.toISOString(), row.id],
    ({ at: changedAt, oldValue, deviceId: _, ...row }) => ({
      ...row,
      old_value: oldValue,
      at: changedAt.toISOString(),
    }),
  );
}

export interface RequestedConfig {
  device_id: string;
  config: Record<string, string>;
  /** The command that asks for it: a digest of the history rows' ids. */
  command_id: string;
  actor: string;
  at: Date;
  /** Unconfirmed by then, the request shows as expired. */
  until: Date;
}

/** Notes that these values were asked for; they stay pending until the device confirms them. */
export async function requestConfig(db: Database, request: RequestedConfig): Promise<void> {
  const { device_id: deviceId, config, command_id, actor, at, until } = request;
  const entries = Object.entries(config);
  if (entries.length === 0) return;
  await db.batch([
    db
      .insert(deviceConfigs)
      .values(
        entries.map(([key, value]) => ({
          deviceId,
          key,
          pendingValue: value,
          pendingUntil: until,
          updatedAt: at,
        })),
      )
      .onConflictDoUpdate({
        target: [deviceConfigs.deviceId, deviceConfigs.key],
        set: {
          pendingValue: sql`excluded.pending_value`,
          pendingUntil: sql`excluded.pending_until`,
          updatedAt: sql`excluded.updated_at`,
        },
      }),
    db.insert(deviceConfigHistory).values(
      entries.map(([key, value]) => ({
        id: `${command_id}.${key}`,
        deviceId,
        key,
        kind: 'requested' as const,
        value,
        actor,
        at,
      })),
    ),
  ]);
}

export interface ConfirmedSetting {
  /** A digest of the message: said twice, it is one. */
  id: string;
  device_id: string;
  key: string;
  value: string;
  old_value: string | null;
  /** By the device's clock, where that can be right. */
  at: Date;
  /** It has no clock that can be right: `at` is when it was received. */
  is_received: boolean;
  received_at: Date;
}

/**
 * The statements that store values devices say they have, however many, in the order in which they were received. An
 * older one than is known changes nothing but the history, unless it is older than anything under way: then the
 * device's clock was set back. The value that was asked for, said for the first time, is no longer pending.
 */
export function confirmSettings(db: Database, settings: readonly ConfirmedSetting[]) {
  const answered = db.execute(sql`
    UPDATE device_configs c
    SET config_value = r.value, value_at = r.at, updated_at = now(), pending_value = NULL, pending_until = NULL
    FROM ${confirmedRows(settings)}
    WHERE c.device_id = r.device_id AND c.config_key = r.key AND c.pending_value = r.value AND ${IS_NEW}
      AND (${isTimely(sql`c.value_at`, sql`r.at`)}
           OR NOT EXISTS (SELECT FROM ${deviceConfigHistory} h WHERE h.id = r.id))`);
  const current = db.execute(sql`
    INSERT INTO device_configs AS c (device_id, config_key, config_value, value_at)
    SELECT r.device_id, r.key, r.value, r.at FROM ${confirmedRows(newest(settings))} WHERE ${IS_NEW}
    ON CONFLICT (device_id, config_key)
    DO UPDATE SET config_value = excluded.config_value, value_at = excluded.value_at, updated_at = now()
    WHERE ${isTimely(sql`c.value_at`, sql`excluded.value_at`)}`);
  const past = db
    .insert(deviceConfigHistory)
    .values(
      settings.map(({ id, device_id: deviceId, key, value, old_value: oldValue, received_at: at }) => ({
        id,
        deviceId,
        key,
        kind: 'confirmed' as const,
        value,
        oldValue,
        at,
      })),
    )
    .onConflictDoNothing();
  return [answered, current, past] as const;
}

/**
 * What comes again changes nothing: by now the device may have said something else, also within the same second. Of a
 * device without a clock only what was received at the same moment is the same: it may say a thing again and mean it.
 */
const IS_NEW = sql`NOT EXISTS (
  SELECT FROM ${deviceConfigHistory} same
  WHERE same.id = r.id AND (same.at = r.received_at OR NOT r.is_received))`;

const isTimely = (known: SQL, said: SQL): SQL =>
  sql`(${known} IS NULL OR ${known} <= ${said} OR ${known} > ${said} + make_interval(secs => ${SESSION_S}))`;

/** Of each setting the one that counts, sorted so that concurrent batches cannot deadlock. */
function newest(settings: readonly ConfirmedSetting[]): ConfirmedSetting[] {
  const byKey = new Map<string, ConfirmedSetting>();
  for (const setting of settings) {
    const name = `${setting.device_id} ${setting.key}`;
    const behindMs = (byKey.get(name)?.at.getTime() ?? 0) - setting.at.getTime();
    if (behindMs <= 0 || behindMs > SESSION_S * 1000) byKey.set(name, setting);
  }
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, setting]) => setting);
}

const confirmedRows = (settings: readonly ConfirmedSetting[]): SQL =>
  sql`${batchRows([
    ['uuid', settings.map(({ device_id }) => device_id)],
    ['text', settings.map(({ key }) => key)],
    ['text', settings.map(({ value }) => value)],
    ['timestamptz', settings.map(({ at }) => at.toISOString())],
    ['text', settings.map(({ id }) => id)],
    ['timestamptz', settings.map(({ received_at }) => received_at.toISOString())],
    ['boolean', settings.map(({ is_received }) => is_received)],
  ])} AS r(device_id, key, value, at, id, received_at, is_received)`;
