/** `skylark device …` */
import { device } from '../protocol/api.ts';
import { api, print, program } from './command-line.ts';
import { table } from './output.ts';

const devices = program.command('device').description('the fleet');
devices
  .command('list')
  .description('all devices')
  .option('--model <model>')
  .option('--status <status>', 'online, offline or updating')
  .action(async (filter: Record<string, string>) => {
    const rows = await api().list(`/devices?${new URLSearchParams(filter)}`, device);
    print(rows, () =>
      table(
        ['SERIAL', 'MODEL', 'FIRMWARE', 'STATUS', 'LAST SEEN'],
        rows.map((r) => [r.serial_no, r.model, r.current_firmware ?? '-', r.status, r.last_seen ?? 'never']),
      ),
    );
  });
devices
  .command('show <device>')
  .description('one device, by ID or serial number')
  .action(async (id: string) => {
    const row = await api().get(`/devices/${encodeURIComponent(id)}`, device);
    print(row, () =>
      table(
        ['FIELD', 'VALUE'],
        Object.entries(row).map(([field, value]) => [
          field,
          typeof value === 'string' ? value : JSON.stringify(value),
        ]),
      ),
    );
  });
devices
  .command('revoke <device>')
  .description('its certificate stops working at once')
  .action(async (id: string) => {
    const row = await api().post(`/devices/${encodeURIComponent(id)}/revoke`, device);
    print(row, () => `${row.serial_no}  revoked`);
  });
