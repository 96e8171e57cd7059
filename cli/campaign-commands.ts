/** `skylark campaign …` */
import type { Command } from 'commander';
import {
  type Campaign,
  type CampaignPreview,
  campaign,
  campaignMetrics,
  deviceUpdate,
} from '../protocol/api.ts';
import { type Rehearsal, rehearsal } from '../protocol/rehearsal.ts';
import { WrongUsage } from './api-client.ts';
import {
  type CreateOptions,
  changedStages,
  createCampaign,
  type GateOptions,
  previewCampaign,
  watch,
} from './campaign.ts';
import { withPolicy, withTarget } from './campaign-flags.ts';
import { type PolicyOptions, policyOf } from './campaign-options.ts';
import { api, globals, percent, print, program, wholeNumber } from './command-line.ts';
import { table } from './output.ts';

const campaigns = program.command('campaign').description('make and steer campaigns');
const path = (id: string, more = '') => `/campaigns/${encodeURIComponent(id)}${more}`;
const STAGES = 'such as 10,50,100 or "1 device after 1 h, group beta at 98 %, 100 % manual"';
const withFirmware = (command: Command): Command =>
  withTarget(
    command.requiredOption('--firmware <firmware>', 'its ID, or MODEL/VERSION; an app: MODEL/NAME@VERSION'),
  )
    .option('--stages <stages>', STAGES)
    .option('--safe-mode', 'begin with one device, before the other stages')
    .option('--no-safe-mode', 'do not, though no device runs the firmware yet');

withPolicy(withFirmware(campaigns.command('create <name>')))
  .description('make a campaign, as a draft')
  .option('--success-threshold <percent>', 'a stage passes when this share completed', percent)
  .option('--min-duration <seconds>', 'a stage is open at least this long', wholeNumber)
  .option('--start', 'start it at once')
  .action(async (name: string, o: CreateOptions) => {
    const now = await createCampaign(api(), name, o);
    print(now, () => `${now.name}  ${now.status}  ${now.id}\n${stagesText(now)}`);
  });
withFirmware(campaigns.command('preview'))
  .description('which devices a campaign would take, and in which stages; changes nothing')
  .action(async (o: CreateOptions) => {
    const preview = await previewCampaign(api(), o);
    print(preview, () => previewText(preview));
  });
withPolicy(campaigns.command('edit <id>'))
  .description('change what is named here, while it runs too; "none" takes a part away')
  .option('--name <name>', 'another name')
  .option('--stages <stages>', `of a draft; ${STAGES}`)
  .option('--success-threshold <percent>', 'of every stage: it passes when this share completed', percent)
  .option('--min-duration <seconds>', 'of every stage: it is open at least this long', wholeNumber)
  .action(async (id: string, o: PolicyOptions & GateOptions & { name?: string; stages?: string }) => {
    const stages = await changedStages(api(), path(id), o);
    const change = { ...policyOf(o), name: o.name, stages };
    if (Object.values(change).every((value) => value === undefined))
      throw new WrongUsage('say what to change: skylark campaign edit --help');
    const now = await api().put(path(id), campaign, change);
    print(now, () => `${now.name}  ${now.status}  changed`);
  });
for (const [action, what] of [
  ['approve', 'let a draft somebody else has made be started'],
  ['start', 'start a campaign'],
  ['pause', 'no further device starts; those under way go on'],
  ['resume', 'go on; what failed until now is accepted'],
  ['cancel', 'end it: devices that have not begun are left out'],
] as const) {
  campaigns
    .command(`${action} <id>`)
    .description(what)
    .action(async (id: string) => {
      const now = await api().post(path(id, `/${action}`), campaign);
      print(now, () => `${now.name}  ${now.status}`);
    });
}
campaigns
  .command('advance <id>')
  .description('open the next stage now, whatever the gate says')
  .action(async (id: string) => {
    // Of two people who say so at a time, one is meant: it is about the stage that is open now.
    const { stage } = await api().get(path(id, '/metrics'), campaignMetrics);
    const now = await api().post(path(id, '/advance'), campaign, { stage: stage.index });
    print(now, () => `${now.name}  ${now.status}`);
  });
campaigns
  .command('rehearse <id>')
  .description('play a draft against the last week of its devices; starts nothing')
  .option('--failure-rate <percent>', 'so many updates fail; else as many as did before', percent)
  .action(async (id: string, { failureRate }: { failureRate?: number }) => {
    const played = await api().post(path(id, '/rehearsal'), rehearsal, { failure_rate: failureRate });
    print(played, () => rehearsalText(played));
  });
campaigns
  .command('retry <id>')
  .description('give devices that failed another attempt')
  .option('--error <code>', 'only those that failed with this')
  .action(async (id: string, { error }: { error?: string }) => {
    const now = await api().post(path(id, '/retry'), campaign, error === undefined ? undefined : { error });
    print(now, () => `${now.name}  ${now.status}`);
  });
campaigns
  .command('skip <id> <device>')
  .description('leave out a device whose update has not begun')
  .action(async (id: string, device: string) => {
    const update = await api().post(path(id, `/devices/${encodeURIComponent(device)}/skip`), deviceUpdate);
    print(update, () => `${update.serial_no}  ${update.status}`);
  });
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

const stagesText = ({ stages }: Campaign): string => `stages: ${stages.map(({ name }) => name).join(' → ')}`;

function rehearsalText(played: Rehearsal): string {
  const { ends, expected_duration_s, left_out, stops, stages, load, assumptions } = played;
  const time = (seconds: number | null) => (seconds === null ? 'never' : `${Math.round(seconds)} s`);
  return [
    `runs: ${Object.entries(ends)
      .filter(([, runs]) => runs > 0)
      .map(([end, runs]) => `${runs} ${end}`)
      .join(', ')}; expected to take ${time(expected_duration_s)}`,
    ...(left_out === 0 ? [] : [`${left_out} had not begun when its end came`]),
    ...stops.map(({ stage, reason, runs }) => `stopped at ${stage} in ${runs}: ${reason}`),
    table(
      ['STAGE', 'DEVICES', 'OPENS AFTER', 'PASSES AFTER'],
      stages.map((s) => [s.name, `${s.devices}`, time(s.opens_after_s), time(s.passes_after_s)]),
    ),
    `at most ${load.peak_concurrent} updates at a time, ${load.peak_downloads_per_minute} downloads a minute`,
    ...assumptions,
  ].join('\n');
}

function previewText(preview: CampaignPreview): string {
  const { count, sample, skipped, unknown_serial_nos, would_go_back, stages } = preview;
  const few = sample.map(({ serial_no }) => serial_no).join(', ');
  return [
    `${count} devices take part${few === '' ? '' : `: ${few}${count > sample.length ? ', …' : ''}`}`,
    ...skipped.map(({ error, count: n }) => `${n} do not: ${error}`),
    ...(would_go_back ? [`${would_go_back} of them run something newer and would go back`] : []),
    ...(unknown_serial_nos
      ? [`${unknown_serial_nos} of the serial numbers fit no device of the target`]
      : []),
    `stages: ${stages.map(({ name, devices }) => `${name} (${devices})`).join(' → ')}`,
  ].join('\n');
}
