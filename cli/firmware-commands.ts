/** `skylark firmware …` */
import { readFileSync, writeFileSync } from 'node:fs';
import { Option } from 'commander';
import { FIRMWARE_KINDS, type Firmware, firmware, MAX_DOCUMENT_BYTES } from '../protocol/api.ts';
import { firmwareTitle } from '../protocol/target-path.ts';
import { CommandFailed, WrongUsage } from './api-client.ts';
import { findFirmware } from './campaign.ts';
import { api, neededKey, print, program, releaseKey } from './command-line.ts';
import { attach, checksumOf, upload } from './firmware.ts';
import { bytes, say, table } from './output.ts';
import { publish } from './publish.ts';
import { mustHaveBytes, readText } from './text-file.ts';

/** What is read in one piece. */
const LARGEST_SIGNED_BYTES = 2 ** 31 - 1;

const line = (row: Firmware): string => `${firmwareTitle(row)}  ${row.state}  ${row.id}`;

const firmwares = program.command('firmware').description('upload, sign, publish');
firmwares
  .command('sign <file>')
  .description('sign a file: a detached Ed25519 signature over its bytes, in FILE.sig')
  .action(async (file: string) => {
    // Ed25519 signs a text whole. Publishing signs metadata, whatever the size.
    mustHaveBytes(file, LARGEST_SIGNED_BYTES);
    const { keyid, sig } = (await neededKey()).sign(readFileSync(file));
    const checksum = await checksumOf(file);
    writeFileSync(`${file}.sig`, `${JSON.stringify({ keyid, sig, checksum })}\n`);
    print({ file: `${file}.sig`, keyid, sig, checksum }, () => `${file}.sig`);
  });
interface UploadFlags {
  version: string;
  model: string;
  kind: string;
  name?: string;
  releaseNotes?: string;
  minVersion?: string;
  advisory?: string;
  sbom?: string;
}
/** Whether something was said of firmware that is not so. */
const isOther = (row: Firmware, notes: string, minVersion: string | undefined): boolean =>
  (notes !== '' && notes !== row.release_notes) || (minVersion ?? row.min_version) !== row.min_version;

firmwares
  .command('upload <file>')
  .description('upload a firmware; with a release key also sign and publish it')
  .requiredOption('--version <version>', 'such as v1.1.0')
  .requiredOption('--model <model>', 'the hardware it is for')
  .addOption(new Option('--kind <kind>', 'what it is').choices(FIRMWARE_KINDS).default('firmware'))
  .option('--name <name>', "an app's name, as devices call it in their heartbeats")
  .option('--release-notes <file>', 'a text file')
  .option('--min-version <version>', 'devices must have at least this firmware')
  .option('--advisory <file>', 'what it mends, such as a CSAF document: stored beside it')
  .option('--sbom <file>', 'its bill of materials, such as CycloneDX or SPDX: stored beside it')
  .action(async (file: string, flags: UploadFlags) => {
    mustHaveBytes(file);
    for (const given of [flags.advisory, flags.sbom])
      if (given !== undefined) mustHaveBytes(given, MAX_DOCUMENT_BYTES);
    if (flags.name !== undefined && flags.kind !== 'app')
      throw new WrongUsage('--name goes with --kind app: firmware is named by its model and version');
    const [client, key] = [api(), await releaseKey()];
    const { version, model, kind, name, minVersion, releaseNotes, advisory, sbom } = flags;
    const release_notes = releaseNotes === undefined ? '' : readText(releaseNotes);
    const uploaded = await upload(client, file, {
      version,
      model,
      kind,
      release_notes,
      ...(name === undefined ? {} : { name }),
      ...(minVersion === undefined ? {} : { min_version: minVersion }),
    });
    if (uploaded.checksum !== (await checksumOf(file)))
      throw new CommandFailed('the server has other bytes than the file');
    const whole = await attach(client, uploaded, {
      ...(advisory === undefined ? {} : { advisory }),
      ...(sbom === undefined ? {} : { sbom }),
    });
    const row = key === undefined ? whole : await publish(client, whole, key);
    print(row, () => line(row));
    if (uploaded.state !== 'uploaded' && isOther(uploaded, release_notes, minVersion))
      say('It was published before: its release notes and minimum version stay as they were then.');
    if (row.state === 'published' && key === undefined && advisory !== undefined)
      say('Its advisory is stored; run "skylark firmware publish" to sign it.');
    if (row.state === 'uploaded')
      say('Not published yet: run "skylark firmware publish" with the release key.');
  });
firmwares
  .command('publish <firmware>')
  .description('sign and publish an uploaded firmware, by ID or MODEL/VERSION; an app: MODEL/NAME@VERSION')
  .action(async (name: string) => {
    const client = api();
    const key = await neededKey();
    const row = await publish(client, await findFirmware(client, name), key);
    print(row, () => line(row));
  });
firmwares
  .command('withdraw <firmware>')
  .description('take it back for good: campaigns with it are paused, and none can start')
  .requiredOption('--reason <text>', 'why')
  .action(async (title: string, { reason }: { reason: string }) => {
    const client = api();
    const { id } = await findFirmware(client, title);
    const row = await client.post(`/firmware/${id}/withdraw`, firmware, { reason });
    print(row, () => line(row));
  });
firmwares
  .command('list')
  .description('all firmware')
  .action(async () => {
    const rows = await api().list('/firmware', firmware);
    print(rows, () =>
      table(
        ['FIRMWARE', 'KIND', 'STATE', 'SIZE', 'ID'],
        rows.map((r) => [firmwareTitle(r), r.kind, r.state, bytes(r.size_bytes), r.id]),
      ),
    );
  });
