/** `skylark-device --config device.json`: the agent on a real device. */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { Agent } from './agent.ts';
import { readConfiguration } from './configuration.ts';

const USAGE = 'Usage: skylark-device --config device.json';

/** The program that restarts the device; a different one by `SKYLARK_REBOOT`. */
const REBOOT = process.env.SKYLARK_REBOOT ?? 'reboot';
/** Answers by its exit code whether a new version works; without one, reaching this point is enough. */
const BOOT_CHECK = process.env.SKYLARK_BOOT_CHECK;

function configFile(): string {
  try {
    const { values } = parseArgs({ options: { config: { type: 'string' }, help: { type: 'boolean' } } });
    if (values.help === true) {
      process.stdout.write(`${USAGE}\n`);
      process.exit(0);
    }
    if (values.config !== undefined) return values.config;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  }
  process.stderr.write(`${USAGE}\n`);
  process.exit(2);
}

const run = (command: string): Promise<boolean> =>
  new Promise((resolve) => {
    const child = spawn(command, { shell: true, stdio: 'inherit' });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });

try {
  const agent = new Agent({
    config: readConfiguration(configFile()),
    event: (event, detail) =>
      process.stderr.write(`${JSON.stringify({ level: 'info', part: 'device', msg: event, ...detail })}\n`),
    hardware: {
      bootCheck: async () => (BOOT_CHECK === undefined ? true : run(BOOT_CHECK)),
      reboot: () => {
        void agent.stop().then(() => run(REBOOT));
      },
      disturb: () => undefined,
    },
  });
  process.on('SIGTERM', () => void agent.stop().then(() => process.exit(0)));
  process.on('SIGINT', () => void agent.stop().then(() => process.exit(0)));
  await agent.start();
} catch (error) {
  process.stderr.write(`skylark-device: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
