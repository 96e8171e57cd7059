/** `skylark`: for CI and operators. Exit code 0 done, 1 failed, 2 wrong usage. */
import { CommanderError } from 'commander';
import { ApiError, CommandFailed, WrongUsage } from './api-client.ts';
import { program } from './command-line.ts';
import { say } from './output.ts';
import './key-commands.ts';
import './firmware-commands.ts';
import './campaign-commands.ts';
import './device-commands.ts';
import './group-commands.ts';

// Whoever reads a part only, as `head` does, has what they wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version are not mistakes; commander has said the rest itself.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    const isUsage = error instanceof WrongUsage || (error instanceof ApiError && error.isWrongInput);
    process.exitCode = isUsage ? 2 : 1;
    const known = error instanceof WrongUsage || error instanceof CommandFailed;
    const text = known
      ? error.message
      : `unexpected: ${error instanceof Error ? error.message : String(error)}`;
    say(`skylark: ${text}`);
  }
}
