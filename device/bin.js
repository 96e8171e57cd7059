#!/usr/bin/env node
// Runs the agent under a Node that reads TypeScript: this one, or the one that is installed beside it.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./agent-main.ts', import.meta.url));
if (process.features.typescript) {
  await import('./agent-main.ts');
} else {
  const node = createRequire(import.meta.url).resolve('node/bin/node');
  const { status } = spawnSync(node, [program, ...process.argv.slice(2)], { stdio: 'inherit' });
  process.exit(status ?? 1);
}
