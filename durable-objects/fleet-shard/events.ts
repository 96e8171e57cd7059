/** What device messages leave in the ledger beside the device's own row: its timeline, and its settings. */
import type { Database } from '../../store/connection.ts';
import { type ConfirmedSetting, confirmSettings } from '../../store/device-configs.ts';
import { insertEvents, type NewDeviceEvent } from '../../store/device-events.ts';
import type { DeviceMessage, Reported } from './messages.ts';
import { saidAt } from './presence.ts';

/** Writes it, in one transaction. Answers the devices whose settings changed. */
export async function recordEvents(
  db: Database,
  messages: readonly DeviceMessage[],
  /** By serial number. */
  deviceIds: ReadonlyMap<string, string>,
): Promise<string[]> {
  const events: NewDeviceEvent[] = [];
  const settings: ConfirmedSetting[] = [];
  for (const m of messages) {
    const device_id = deviceIds.get(m.serial_no);
    if (device_id === undefined || m.kind === 'heartbeat') continue;
    const event = { id: m.digest, device_id };
    if (m.kind === 'report' && !isProgress(m.report)) {
      events.push({ ...event, ...momentOf(m.report, m.received_at), kind: 'update', detail: m.report });
    } else if (m.kind === 'notify') {
      const { timestamp: _, ...detail } = m.notification;
      const moment = momentOf(m.notification, m.received_at);
      events.push({ ...event, ...moment, kind: 'setting', detail });
      settings.push({
        id: m.digest,
        device_id,
        key: detail.setting_changed,
        value: detail.new_value,
        old_value: detail.old_value ?? null,
        ...moment,
        received_at: new Date(m.received_at),
      });
    }
  }
  if (events.length > 0) {
    await db.batch([
      insertEvents(db, events),
      ...(settings.length === 0 ? [] : confirmSettings(db, settings)),
    ]);
  }
  return [...new Set(settings.map(({ device_id }) => device_id))];
}

/** When it was said: by the device's clock, or else when it was received. */
function momentOf({ timestamp }: { timestamp: number }, receivedAt: number) {
  const said = saidAt(timestamp, receivedAt);
  return { at: new Date(said * 1000), is_received: said !== timestamp };
}

/** A mere percentage: it is shown live and not kept. */
function isProgress(report: Reported['report']): boolean {
  return report.status === 'downloading' && (report.progress ?? 0) > 0;
}
