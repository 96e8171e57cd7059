/** `skylark firmware …` */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { firmware } from '../protocol/api.ts';
import { CommandFailed, WrongUsage } from './api-client.ts';
import { findFirmware } from './campaign.ts';
import { api, neededKey, print, program, readText, releaseKey } from './command-line.ts';
import { checksumOf, publish, upload } from './firmware.ts';
import { say, table } from './output.ts';

const firmwares = program.command('firmware').description('upload, sign, publish');
firmwares
  .command('sign <file>')
  .description('sign a file: a detached Ed25519 signature over its bytes, in FILE.sig')
  .action(async (file: string) => {
    if (!existsSync(file)) throw new WrongUsage(`there is no file ${file}`);
    const { keyid, sig } = (await neededKey()).sign(readFileSync(file));
    const checksum = await checksumOf(file);
    writeFileSync(`${file}.sig`, `${JSON.stringify({ keyid, sig, checksum })}\n`);
    print({ file: `${file}.sig`, keyid, sig, checksum }, () => `${file}.sig`);
  });
firmwares
  .command('upload <file>')
  .description('upload a firmware; with a release key also sign and publish it')
  .requiredOption('--version <version>', 'such as v1.1.0')
  .requiredOption('--model <model>', 'the hardware it is for')
  .option('--kind <kind>', 'firmware or app', 'firmware')
  .option('--release-notes <file>', 'a text file')
  .option('--min-version <version>', 'devices must have at least this')
  .action(
    async (
      file: string,
      options: Record<'version' | 'model' | 'kind', string> & { releaseNotes?: string; minVersion?: string },
    ) => {
      if (!existsSync(file)) throw new WrongUsage(`there is no file ${file}`);
      const [client, key] = [api(), await releaseKey()];
      const { version, model, kind, minVersion, releaseNotes } = options;
      const uploaded = await upload(client, file, {
        version,
        model,
        kind,
        release_notes: releaseNotes === undefined ? '' : readText(releaseNotes),
        ...(minVersion === undefined ? {} : { min_version: minVersion }),
      });
      if (uploaded.checksum !== (await checksumOf(file)))
        throw new CommandFailed('the server has other bytes than the file');
      const row = key === undefined ? uploaded : await publish(client, uploaded, key);
      print(row, () => `${row.model}/${row.version}  ${row.state}  ${row.id}`);
      if (row.state === 'uploaded')
        say('Not published yet: run "skylark firmware publish" with the release key.');
    },
  );
firmwares
  .command('publish <firmware>')
  .description('sign and publish an uploaded firmware, by ID or MODEL/VERSION')
  .action(async (name: string) => {
    const client = api();
    const key = await neededKey();
    const row = await publish(client, await findFirmware(client, name), key);
    print(row, () => `${row.model}/${row.version}  ${row.state}  ${row.id}`);
  });
firmwares
  .command('list')
  .description('all firmware')
  .action(async () => {
    const rows = await api().list('/firmware', firmware);
    print(rows, () =>
      table(
        ['MODEL', 'VERSION', 'STATE', 'SIZE', 'ID'],
        rows.map((r) => [r.model, r.version, r.state, String(r.size_bytes), r.id]),
      ),
    );
  });
