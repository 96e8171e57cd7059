/** What every command shares: the global options, the API behind them, and how results are printed. */
import { Command, InvalidArgumentError } from 'commander';
import { ApiClient, WrongUsage } from './api-client.ts';
import { openSigningKey, type SigningKey } from './signing-key.ts';
import { readText } from './text-file.ts';

export const program = new Command('skylark')
  .description('Over-the-air updates for IoT fleets.')
  .option('--url <url>', 'where Skylark is (SKYLARK_URL)')
  .option('--api-key <key>', 'an API key (SKYLARK_API_KEY)')
  .option('--release-key <file>', "the release key: a file's path, or the PEM itself (SKYLARK_RELEASE_KEY)")
  .option('--json', 'print JSON on stdout')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();

interface Globals {
  url?: string;
  apiKey?: string;
  releaseKey?: string;
  json?: boolean;
}

export const globals = (): Globals => program.opts<Globals>();
const setting = (given: string | undefined, name: string) => given ?? (process.env[name] || undefined);

/** Where Skylark is. Throws {@link WrongUsage} where neither options nor environment say. */
export function serverUrl(): string {
  const url = setting(globals().url, 'SKYLARK_URL');
  if (url === undefined) throw new WrongUsage('say where Skylark is: --url or SKYLARK_URL');
  if (!URL.canParse(url)) throw new WrongUsage('--url is not a URL');
  return url.replace(/\/$/, '');
}

/** The API as the options or the environment say. Throws {@link WrongUsage} where they do not. */
export function api(): ApiClient {
  const [url, key] = [serverUrl(), setting(globals().apiKey, 'SKYLARK_API_KEY')];
  if (key === undefined) throw new WrongUsage('an API key is needed: --api-key or SKYLARK_API_KEY');
  return new ApiClient(url, key);
}

/** The release key, if one is given: a file's path, or the PEM itself as CI secrets have it. */
export async function releaseKey(): Promise<SigningKey | undefined> {
  const given = setting(globals().releaseKey, 'SKYLARK_RELEASE_KEY');
  if (given === undefined) return undefined;
  const pem = given.includes('-----BEGIN') ? given.replaceAll('\\n', '\n') : readText(given);
  try {
    return await openSigningKey(pem);
  } catch (error) {
    throw new WrongUsage(
      `the release key cannot be used: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

export async function neededKey(): Promise<SigningKey> {
  const key = await releaseKey();
  if (key === undefined)
    throw new WrongUsage('a release key is needed: --release-key or SKYLARK_RELEASE_KEY');
  return key;
}

/** JSON for programs, else the text for people. */
export function print(value: unknown, text: () => string): void {
  process.stdout.write(`${globals().json === true ? JSON.stringify(value) : text()}\n`);
}

export const wholeNumber = (text: string): number => {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('a whole number is needed');
  return Number(text);
};
export const percent = (text: string): number => {
  const number = Number(text);
  if (!(number >= 0 && number <= 100)) throw new InvalidArgumentError('a percentage from 0 to 100 is needed');
  return number;
};
export const list = (text: string): string[] => text.split(',').map((part) => part.trim());
