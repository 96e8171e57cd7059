/** `skylark keys …` */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CommandFailed } from './api-client.ts';
import { print, program } from './command-line.ts';
import { generateKey, initRepository, openSigningKey } from './tuf-keys.ts';

const keys = program.command('keys').description('signing keys; they never leave this machine');
keys
  .command('generate')
  .description('make a new Ed25519 key')
  .requiredOption('--out <file>', 'where to; mode 0600')
  .action(async ({ out }: { out: string }) => {
    if (existsSync(out)) throw new CommandFailed(`${out} exists already: it is not overwritten`);
    mkdirSync(dirname(out), { recursive: true });
    generateKey(out);
    const { id } = await openSigningKey(readFileSync(out, 'utf8'));
    print({ file: out, keyid: id }, () => `${out}\nkeyid ${id}`);
  });
keys
  .command('init')
  .description('make root, targets, release and online keys, and the signed metadata that trusts them')
  .requiredOption('--dir <directory>', 'where to')
  .action(async ({ dir }: { dir: string }) => {
    const made = await initRepository(dir);
    print(made, () => [...Object.values(made.keyFiles), made.rootFile, made.targetsFile].join('\n'));
  });
