/** The options that say how a campaign goes and whom it is for: for commands that make, preview or change one. */
import { type Command, Option } from 'commander';
import { UPDATE_KINDS } from '../protocol/api.ts';
import { list, percent, wholeNumber } from './command-line.ts';

export const withTarget = (command: Command): Command =>
  command
    .option('--target-model <model>', 'only this model')
    .option('--target-version <range>', 'only devices in this range, such as "< v1.1.0"')
    .option('--groups <groups>', 'only these groups, separated by commas', list)
    .option('--tags <tags>', 'only devices with one of these tags', list)
    .option('--serials <serials>', 'only these serial numbers', list)
    .option('--serials-file <file>', 'only the serial numbers in this CSV file (column serial_no) or list')
    .option('--percentage <percent>', 'a random sample of so many percent of them', percent)
    .option('--dynamic', 'devices that come to match while it runs join it');

export const withPolicy = (command: Command): Command =>
  command
    .option('--failure-threshold <percent>', 'the campaign stops when more than this share failed', percent)
    .option(
      '--min-sample <n>',
      'before so many of a stage have finished, all of it is the whole',
      wholeNumber,
    )
    .option(
      '--failure-weights <weights>',
      'how much failures count, such as rollback=2,timeout=0.5; the others are failed and rejected',
    )
    .option('--silence-gate', 'devices that fall silent after the update count as failed')
    .option('--no-silence-gate', 'they do not')
    .addOption(new Option('--on-failure <action>', 'what it then does').choices(['pause', 'rollback']))
    .option('--max-concurrent <n>', 'most updates under way at a time', wholeNumber)
    .option('--rate <n>', 'most updates begun in a minute', wholeNumber)
    .option(
      '--ramp <from,factor,every>',
      'the rate begins at FROM and grows by FACTOR with every so many completed',
    )
    .option(
      '--window <window>',
      'updates begin only then, such as "mon-fri 01:00-05:00 Europe/Berlin"; may be said several times',
      (text: string, before: string[] = []) => [...before, text],
    )
    .option('--start-at <time>', 'when a started campaign begins, such as 2026-12-01T02:00:00Z')
    .option('--end-at <time>', 'from then on no further device starts')
    .option('--max-per-gateway <n>', 'most updates at a time behind one gateway or public address')
    .option('--timeout <seconds>', 'how long one device may take', wholeNumber)
    .option('--max-attempts <n>', 'attempts per device', wholeNumber)
    .addOption(
      new Option('--kind <kind>', 'soft: users may postpone it; download_only: not installed').choices([
        ...UPDATE_KINDS,
      ]),
    )
    .option('--postpone-limit <seconds>', 'how long users may postpone a soft one', wholeNumber)
    .option('--priority <n>', '0 to 1000; of two campaigns the higher has a device first', wholeNumber);
