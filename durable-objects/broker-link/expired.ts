/** Commands no broker had in time: they show on their device's timeline. */
import { z } from 'zod';
import type { Database } from '../../store/connection.ts';
import { insertEvents } from '../../store/device-events.ts';
import { findDevices } from '../../store/devices.ts';

const sent = z.object({ command: z.enum(['config_update', 'reboot']), command_id: z.string() });

/** An update's offer is none of these: its campaign makes it again. */
export async function recordExpired(
  db: Database,
  expired: readonly { serial_no: string; payload: string; expires_at: number }[],
): Promise<void> {
  const commands = expired.flatMap(({ serial_no, payload, expires_at }) => {
    const command = sent.safeParse(JSON.parse(payload));
    return command.success ? [{ serial_no, at: new Date(expires_at), ...command.data }] : [];
  });
  if (commands.length === 0) return;
  const rows = await findDevices(
    db,
    commands.map(({ serial_no }) => serial_no),
  );
  const ids = new Map(rows.map((row) => [row.serialNo, row.id]));
  const events = commands.flatMap(({ serial_no, at, command, command_id }) => {
    const device_id = ids.get(serial_no);
    const detail = { command, state: 'expired' };
    return device_id === undefined
      ? []
      : [{ id: `${command_id}.expired`, device_id, at, kind: 'command', detail }];
  });
  if (events.length > 0) await insertEvents(db, events);
}
