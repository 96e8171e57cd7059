/** `skylark campaign …` */
import { campaign } from '../protocol/api.ts';
import { type CreateOptions, createCampaign, watch } from './campaign.ts';
import { api, globals, list, percent, print, program, wholeNumber } from './command-line.ts';
import { table } from './output.ts';

const campaigns = program.command('campaign').description('make and steer campaigns');
campaigns
  .command('create <name>')
  .description('make a campaign, as a draft')
  .requiredOption('--firmware <firmware>', 'its ID, or MODEL/VERSION; an app: MODEL/NAME@VERSION')
  .option('--target-model <model>', 'only this model')
  .option('--target-version <range>', 'only devices in this range, such as "< v1.1.0"')
  .option('--groups <groups>', 'only these groups, separated by commas', list)
  .option('--tags <tags>', 'only devices with one of these tags', list)
  .option('--serials <serials>', 'only these serial numbers', list)
  .option('--stages <percentages>', 'such as 10,50,100')
  .option('--success-threshold <percent>', 'a stage passes when this share completed', percent)
  .option('--min-duration <seconds>', 'a stage is open at least this long', wholeNumber)
  .option('--failure-threshold <percent>', 'the campaign stops when more than this share failed', percent)
  .option('--on-failure <action>', 'pause or rollback')
  .option('--max-concurrent <n>', 'most updates under way at a time', wholeNumber)
  .option('--rate <n>', 'most updates begun in a minute', wholeNumber)
  .option('--timeout <seconds>', 'how long one device may take', wholeNumber)
  .option('--max-attempts <n>', 'attempts per device', wholeNumber)
  .option('--start', 'start it at once')
  .action(async (name: string, o: CreateOptions) => {
    const now = await createCampaign(api(), name, o);
    print(now, () => `${now.name}  ${now.status}  ${now.id}`);
  });
for (const action of ['start', 'pause', 'resume', 'cancel'] as const) {
  campaigns
    .command(`${action} <id>`)
    .description(`${action} a campaign`)
    .action(async (id: string) => {
      const now = await api().post(`/campaigns/${encodeURIComponent(id)}/${action}`, campaign);
      print(now, () => `${now.name}  ${now.status}`);
    });
}
campaigns
  .command('watch <id>')
  .description('tell how it goes until it is over; exit code 0 only if it completed')
  .option('--timeout <seconds>', 'give up after this', wholeNumber)
  .action(async (id: string, { timeout }: { timeout?: number }) => {
    const timeoutMs = timeout === undefined ? undefined : timeout * 1000;
    const over = await watch(api(), encodeURIComponent(id), { json: globals().json === true, timeoutMs });
    if (globals().json !== true) process.stdout.write(`${over.name}  ${over.status}\n`);
  });
campaigns
  .command('list')
  .description('all campaigns')
  .action(async () => {
    const rows = await api().list('/campaigns', campaign);
    print(rows, () =>
      table(
        ['NAME', 'STATUS', 'FIRMWARE', 'ID'],
        rows.map((r) => [r.name, r.status, r.firmware_version, r.id]),
      ),
    );
  });
campaigns
  .command('show <id>')
  .description('one campaign')
  .action(async (id: string) => {
    const row = await api().get(`/campaigns/${encodeURIComponent(id)}`, campaign);
    print(
      row,
      () => `${row.name}  ${row.status}${row.status_reason === null ? '' : `  (${row.status_reason})`}`,
    );
  });
