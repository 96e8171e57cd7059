/** `skylark group …` */
import { z } from 'zod';
import { type GroupRule, group } from '../protocol/api.ts';
import { api, list, print, program } from './command-line.ts';
import { table } from './output.ts';

const groups = program.command('group').description('named sets of devices');
const path = (name: string, more = '') => `/groups/${encodeURIComponent(name)}${more}`;

groups
  .command('list')
  .description('all groups')
  .action(async () => {
    const rows = await api().list('/groups?', group);
    print(rows, () =>
      table(
        ['GROUP', 'KIND', 'DESCRIPTION'],
        rows.map((row) => [row.name, row.kind, row.description]),
      ),
    );
  });
groups
  .command('show <group>')
  .description('one group, and how many devices it has')
  .action(async (name: string) => {
    const found = await api().get(path(name), group.extend({ devices: z.int() }));
    print(found, () =>
      table(
        ['FIELD', 'VALUE'],
        Object.entries(found).map(([field, value]) => [
          field,
          typeof value === 'string' ? value : JSON.stringify(value),
        ]),
      ),
    );
  });
groups
  .command('create <group>')
  .description('a group by hand, or by a rule')
  .option('--description <text>')
  .option('--model <model>')
  .option('--fw-version <range>', 'such as "< v1.1.0"')
  .option('--tags <tags>', 'separated by commas; one is enough', list)
  .option('--serial-prefix <prefix>')
  .action(async (name: string, o: Record<string, string> & { tags?: string[] }) => {
    const rule: GroupRule = {
      ...(o.model === undefined ? {} : { model: o.model }),
      ...(o.fwVersion === undefined ? {} : { fw_version: o.fwVersion }),
      ...(o.tags === undefined ? {} : { tags: o.tags }),
      ...(o.serialPrefix === undefined ? {} : { serial_prefix: o.serialPrefix }),
    };
    const said = Object.keys(rule).length > 0 ? { rule } : {};
    const made = await api().post('/groups', group, { name, description: o.description, ...said });
    print(made, () => `${made.name}  ${made.kind}`);
  });
groups
  .command('delete <group>')
  .description('its devices stay, in no group')
  .action(async (name: string) => {
    await api().delete(path(name));
    print({ name, deleted: true }, () => `${name}  deleted`);
  });
groups
  .command('add <group> <devices...>')
  .description('put devices, by serial number, into a group made by hand')
  .action(async (name: string, serial_nos: string[]) => {
    const moved = await api().post(path(name, '/devices'), z.object({ devices: z.int() }), { serial_nos });
    print(moved, () => `${moved.devices} put into ${name}`);
  });
