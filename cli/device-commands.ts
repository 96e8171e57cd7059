/** `skylark device …` */
import { device, importReport } from '../protocol/api.ts';
import { CommandFailed } from './api-client.ts';
import { api, print, program } from './command-line.ts';
import { table } from './output.ts';
import { readText } from './text-file.ts';

const devices = program.command('device').description('the fleet');
devices
  .command('list')
  .description('all devices')
  .option('--model <model>')
  .option('--status <status>', 'online, offline or updating')
  .option('--firmware <version>')
  .option('--group <group>')
  .option('--tag <tag>')
  .option('-q, --q <prefix>', "a serial number's beginning")
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
for (const [verb, done, description] of [
  ['approve', 'approved', 'let a device that waits take part'],
  ['decommission', 'decommissioned', 'take it out of service for good'],
] as const) {
  devices
    .command(`${verb} <device>`)
    .description(description)
    .action(async (id: string) => {
      const row = await api().post(`/devices/${encodeURIComponent(id)}/${verb}`, device);
      print(row, () => `${row.serial_no}  ${done}`);
    });
}
devices
  .command('import <file>')
  .description('devices from a CSV file')
  .option('--dry-run', 'only say what would be done')
  .action(async (file: string, { dryRun }: { dryRun?: boolean }) => {
    const path = `/devices/import?dry_run=${dryRun === true}`;
    const report = await api().postText(path, importReport, readText(file), 'text/csv');
    print(report, () =>
      [
        `${report.created} new, ${report.updated} changed, ${report.unchanged} as they were, ${report.failed} refused`,
        ...report.errors.map(({ line, field, message }) => `line ${line}: ${field} ${message}`),
      ].join('\n'),
    );
    if (report.failed > 0) throw new CommandFailed(`${report.failed} lines were refused`);
  });
