/** `skylark keys …` */
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { CommandFailed, WrongUsage } from './api-client.ts';
import { api, list, print, program, serverUrl, wholeNumber } from './command-line.ts';
import { findKeys } from './signing-key.ts';
import { addSignatures } from './tuf-files.ts';
import {
  generateKey,
  initRepository,
  KEY_NAMES,
  type KeyName,
  mustBeAsBefore,
  mustBeTrusted,
  openSigningKey,
} from './tuf-keys.ts';
import { pushMetadata, readPublished } from './tuf-push.ts';
import { renewer } from './tuf-renew.ts';
import { delegateModel, rotateOnline, rotateRelease, rotateRoot, rotateTargets } from './tuf-rotation.ts';
import type { Rotation, RotationOptions } from './tuf-workshop.ts';

/** Keys in the environment: PEM, or the file that holds it. */
const inEnvironment = (): Partial<Record<KeyName, string>> =>
  Object.fromEntries(
    KEY_NAMES.flatMap((name) => {
      const value = process.env[`SKYLARK_${name.toUpperCase()}_KEY`];
      return value === undefined || value === '' ? [] : [[name, value]];
    }),
  );

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

interface InitFlags {
  dir: string;
  rootKeys: number;
  rootThreshold: number;
  models?: string[];
  anyModel?: boolean;
}
keys
  .command('init')
  .description('make root, targets, release and online keys, and the signed metadata that trusts them')
  .requiredOption(
    '--dir <directory>',
    'where to; a key in SKYLARK_{ROOT,TARGETS,RELEASE,ONLINE}_KEY is not written',
  )
  .option('--root-keys <n>', 'root keys, for as many people', wholeNumber, 1)
  .option('--root-threshold <n>', 'how many of them must sign a root', wholeNumber, 1)
  .option('--models <models>', 'a signing role for each of these models, separated by commas', list)
  .option('--any-model', 'a last role for all other models; without --models there is no other')
  .action(async ({ dir, rootKeys, rootThreshold, models = [], anyModel }: InitFlags) => {
    const given = inEnvironment();
    const more = anyModel === undefined ? {} : { anyModel };
    const wanted = { rootKeys, rootThreshold, models, given, ...more };
    mustBeAsBefore(dir, wanted);
    await mustBeTrusted(dir, given);
    const made = await initRepository(dir, wanted);
    const files = Object.entries(made.keyFiles).filter(([name]) => !(name in given));
    print(made, () =>
      [
        ...files.map(([, file]) => file),
        ...made.moreRootFiles,
        made.rootFile,
        made.targetsFile,
        ...made.roleFiles,
      ].join('\n'),
    );
  });

interface DirectoryFlags {
  dir: string;
}
function options({ dir }: DirectoryFlags): RotationOptions {
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new WrongUsage(`there is no directory ${dir}`);
  return {
    directory: dir,
    besides: Object.values(inEnvironment()),
    published: (role) => readPublished(serverUrl(), role),
  };
}
const tell = ({ dir }: DirectoryFlags, done: Rotation): void =>
  print(done, () =>
    [
      ...(done.keyFile === undefined ? [] : [`new key   ${done.keyFile}`]),
      ...done.files.map((file) => `signed    ${file}`),
      ...done.todo.map((text) => `to do     ${text}`),
      `next      skylark keys push --dir ${dir}`,
    ].join('\n'),
  );
keys
  .command('rotate <role>')
  .description('replace a key: of root, targets, online, release (every role that has this key), or a model')
  .requiredOption('--dir <directory>', 'where keys and metadata are; keys may also be in SKYLARK_…_KEY')
  .option('--replace <keyid>', 'which root key, where there are several')
  .option('--finish', 'online only: the Worker has the new key, so the old one goes')
  .action(async (role: string, flags: DirectoryFlags & { replace?: string; finish?: boolean }) => {
    if (role === 'root') tell(flags, await rotateRoot(options(flags), flags.replace));
    else if (role === 'targets') tell(flags, await rotateTargets(options(flags)));
    else if (role === 'online') tell(flags, await rotateOnline(options(flags), flags.finish === true));
    else tell(flags, await rotateRelease(options(flags), role));
  });
keys
  .command('delegate <model>')
  .description('give a model a signing role and a key of its own')
  .requiredOption('--dir <directory>', 'where keys and metadata are')
  .action(async (model: string, flags: DirectoryFlags) =>
    tell(flags, await delegateModel(options(flags), model)),
  );
keys
  .command('sign <file>')
  .description('add signatures to a metadata file, as one of several holders')
  .option('--dir <directory>', 'where the keys are', '.')
  .option('--key <file>', 'only with this key')
  .action(async (file: string, { dir, key }: DirectoryFlags & { key?: string }) => {
    if (!existsSync(file)) throw new WrongUsage(`there is no file ${file}`);
    if (key !== undefined && !existsSync(key)) throw new WrongUsage(`there is no file ${key}`);
    const signers =
      key === undefined
        ? (await findKeys(dir, Object.values(inEnvironment()))).values()
        : [await openSigningKey(readFileSync(key, 'utf8'))];
    const signatures = addSignatures(file, signers);
    print({ file, keyids: signatures.map((s) => s.keyid) }, () => `${file}: ${signatures.length} signatures`);
  });
keys
  .command('push')
  .description(
    'hand root, targets and roles that are signed offline to Skylark, in an order devices can follow',
  )
  .requiredOption('--dir <directory>', 'where they are')
  .action(async ({ dir }: DirectoryFlags) => {
    const taken = await pushMetadata(api(), serverUrl(), dir, renewer(options({ dir })));
    print({ taken }, () => (taken.length === 0 ? 'nothing new' : taken.join('\n')));
  });
