#!/usr/bin/env node
// Runs the CLI under a Node that reads TypeScript: this one, or the one that is installed beside it.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./skylark.ts', import.meta.url));
if (process.features.typescript) {
  await import('./skylark.ts');
} else {
  const node = createRequire(import.meta.url).resolve('node/bin/node');
  const { status } = spawnSync(node, [program, ...process.argv.slice(2)], { stdio: 'inherit' });
  process.exit(status ?? 1);
}
