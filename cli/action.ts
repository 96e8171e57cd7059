/** The GitHub Action: uploads, signs and publishes firmware, and starts a campaign with it. See `action.yml`. */
import { appendFileSync } from 'node:fs';
import { MAX_DOCUMENT_BYTES } from '../protocol/api.ts';
import { firmwareTitle } from '../protocol/target-path.ts';
import { ApiClient, CommandFailed, WrongUsage } from './api-client.ts';
import { createCampaign, findBegun, parseStages } from './campaign.ts';
import { attach, upload } from './firmware.ts';
import { publish } from './publish.ts';
import { openSigningKey, readPem } from './signing-key.ts';
import { mustHaveBytes, readText } from './text-file.ts';

/** GitHub hands over inputs in the environment: upper case, dashes as they are. */
const input = (name: string): string | undefined =>
  process.env[`INPUT_${name.toUpperCase()}`]?.trim() || undefined;

function needed(name: string): string {
  const value = input(name);
  if (value === undefined) throw new WrongUsage(`the input "${name}" is missing`);
  return value;
}

/** Only those that were given. The cast: `Object.fromEntries` forgets which names there are. */
const given = <Name extends string>(
  fields: Record<Name, string | undefined>,
): Partial<Record<Name, string>> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<
    Record<Name, string>
  >;

function output(name: string, value: string): void {
  const file = process.env.GITHUB_OUTPUT;
  if (file === undefined) process.stdout.write(`${name}=${value}\n`);
  else appendFileSync(file, `${name}=${value}\n`);
}

async function run(): Promise<void> {
  const api = new ApiClient(needed('url'), needed('api-key'));
  const [stages, start] = [input('stages'), input('start') ?? 'true'];
  // Before anything is uploaded: a step that fails half-way has to be understood by somebody.
  if (stages !== undefined) parseStages(stages, {});
  if (start !== 'true' && start !== 'false') throw new WrongUsage('the input "start" is true or false');
  mustHaveBytes(needed('file'));
  for (const file of [input('sbom'), input('advisory')])
    if (file !== undefined) mustHaveBytes(file, MAX_DOCUMENT_BYTES);
  const release = input('release-key');
  const key = release === undefined ? undefined : await openSigningKey(readPem(release));
  const notes = input('release-notes');
  const uploaded = await upload(api, needed('file'), {
    version: needed('version'),
    model: needed('model'),
    kind: input('kind') ?? 'firmware',
    release_notes: notes === undefined ? '' : readText(notes),
    ...given({ name: input('name'), min_version: input('min-version') }),
  });
  const documents = given({ sbom: input('sbom'), advisory: input('advisory') });
  const whole = await attach(api, uploaded, documents);
  const row = key === undefined ? whole : await publish(api, whole, key);
  output('firmware-id', row.id);
  output('checksum', row.checksum);
  output('state', row.state);
  process.stdout.write(`${firmwareTitle(row)} is ${row.state}\n`);
  const name = input('campaign');
  if (name === undefined) return;
  const campaign =
    (await findBegun(api, name, row.id, start === 'true')) ??
    (await createCampaign(api, name, { firmware: row.id, ...given({ stages }), start: start === 'true' }));
  output('campaign-id', campaign.id);
  process.stdout.write(`campaign "${campaign.name}" is ${campaign.status}\n`);
}

try {
  await run();
} catch (error) {
  const text = error instanceof Error ? error.message : String(error);
  const known = error instanceof CommandFailed || error instanceof WrongUsage;
  // GitHub shows this beside the step; a line break would end it.
  process.stdout.write(`::error::${(known ? text : `unexpected: ${text}`).replaceAll('\n', '%0A')}\n`);
  process.exitCode = 1;
}
