/** Device settings: what the device confirmed, and what it has been asked to change and not confirmed yet. */
import { asc, eq, sql } from 'drizzle-orm';
import type { ConfigEntry } from '../protocol/api.ts';
import type { Database } from './connection.ts';
import { deviceConfigs } from './schema.ts';

/** How long a requested value may stay unconfirmed before it shows as expired. */
const CONFIRM_WITHIN_MS = 24 * 3_600_000;

/** A device's settings by key. */
export async function listConfig(db: Database, deviceId: string, now: Date): Promise<ConfigEntry[]> {
  const rows = await db
    .select()
    .from(deviceConfigs)
    .where(eq(deviceConfigs.deviceId, deviceId))
    .orderBy(asc(deviceConfigs.key));
  return rows.map((row) => ({
    key: row.key,
    value: row.value,
    pending_value: row.pendingValue,
    state: row.pendingValue === null ? 'confirmed' : (row.pendingUntil ?? now) > now ? 'pending' : 'expired',
    updated_at: row.updatedAt.toISOString(),
  }));
}

/** Notes that these values were asked for; they stay pending until the device confirms them. */
export async function requestConfig(
  db: Database,
  deviceId: string,
  config: Record<string, string>,
  now: Date,
): Promise<void> {
  const entries = Object.entries(config);
  if (entries.length === 0) return;
  await db
    .insert(deviceConfigs)
    .values(
      entries.map(([key, value]) => ({
        deviceId,
        key,
        pendingValue: value,
        pendingUntil: new Date(now.getTime() + CONFIRM_WITHIN_MS),
        updatedAt: now,
      })),
    )
    .onConflictDoUpdate({
      target: [deviceConfigs.deviceId, deviceConfigs.key],
      set: {
        pendingValue: sql`excluded.pending_value`,
        pendingUntil: sql`excluded.pending_until`,
        updatedAt: sql`excluded.updated_at`,
      },
    });
}

export interface ConfirmedSetting {
  device_id: string;
  key: string;
  value: string;
  /** By the device's clock. */
  at: Date;
}

/**
 * The statement that stores a value the device says it has. An older one than is known changes nothing; the
 * value that was asked for, once said, is no longer pending.
 */
export function confirmSetting(db: Database, setting: ConfirmedSetting) {
  return db
    .insert(deviceConfigs)
    .values({
      deviceId: setting.device_id,
      key: setting.key,
      value: setting.value,
      valueAt: setting.at,
    })
    .onConflictDoUpdate({
      target: [deviceConfigs.deviceId, deviceConfigs.key],
      set: {
        value: setting.value,
        valueAt: setting.at,
        pendingValue: sql`CASE WHEN ${deviceConfigs.pendingValue} = ${setting.value} THEN NULL ELSE ${deviceConfigs.pendingValue} END`,
        updatedAt: sql`now()`,
      },
      setWhere: sql`(${deviceConfigs.valueAt} IS NULL OR ${deviceConfigs.valueAt} <= excluded.value_at)`,
    });
}
