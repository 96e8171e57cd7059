/** Bundles the GitHub Action to one file, which is committed: GitHub installs nothing. `--check` only compares. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

const HERE = dirname(new URL(import.meta.url).pathname);
const FILE = join(HERE, 'action', 'index.js');

const { outputFiles } = await build({
  entryPoints: [join(HERE, 'action.ts')],
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  minify: true,
  legalComments: 'none',
  // Some packages still ask for Node's own modules in the old way.
  banner: {
    js: "import{createRequire as r}from'node:module';const require=r(import.meta.url);",
  },
});
const text = outputFiles[0]?.text ?? '';
if (process.argv.includes('--check')) {
  if (!existsSync(FILE) || readFileSync(FILE, 'utf8') !== text) {
    process.stderr.write('cli/action/index.js is not as its sources. Run "npm run action".\n');
    process.exitCode = 1;
  }
} else {
  mkdirSync(dirname(FILE), { recursive: true });
  writeFileSync(FILE, text);
}
