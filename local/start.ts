/** `npm start`: the whole product on this machine, until Ctrl-C. */
import { parseArgs } from 'node:util';
import { StartError } from './data.ts';
import { type Platform, type PlatformOptions, startPlatform } from './platform.ts';

const USAGE = `Usage: npm start -- [options]
  --port N        dashboard and API (default 8787; 0 = any free port)
  --mqtt-port N   MQTT over TLS (default 8883; 0 = any free port)
  --devices N     virtual devices (default 12; 0 = none)
  --data DIR      where everything is kept (default .local)
  --fresh         empty it first
  --json          print one line of JSON when ready; logs go to stderr`;

interface Arguments extends PlatformOptions {
  json: boolean;
}

function readArguments(argv: string[]): Arguments {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(argv);
  } catch (error) {
    throw new StartError(
      `${error instanceof Error ? error.message : String(error)} (--help lists the options)`,
    );
  }
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  }
  return {
    port: wholeNumber('--port', values.port, 65_535),
    mqttPort: wholeNumber('--mqtt-port', values['mqtt-port'], 65_535),
    devices: wholeNumber('--devices', values.devices, 10_000),
    data: values.data,
    fresh: values.fresh,
    json: values.json,
  };
}

function parse(argv: string[]) {
  return parseArgs({
    args: argv,
    options: {
      port: { type: 'string', default: '8787' },
      'mqtt-port': { type: 'string', default: '8883' },
      devices: { type: 'string', default: '12' },
      data: { type: 'string', default: '.local' },
      fresh: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  }).values;
}

function wholeNumber(flag: string, text: string, most: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(number <= most))
    throw new StartError(`${flag} takes a whole number from 0 to ${most}, not "${text}"`);
  return number;
}

function greet({ facts }: Platform): void {
  process.stdout.write(`
  Skylark is running.

    Dashboard   ${facts.url}
    Sign in     ${facts.admin.email}  /  ${facts.admin.password}
    API key     ${facts.api_key}
    MQTT        ${facts.mqtt.url}  (CA: ${facts.mqtt.ca_file})

  Press Ctrl-C to stop; what it knows is kept.
`);
}

/** Started by npm and npm killed outright: nobody could stop us any more. */
function whenLauncherIsGone(tell: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return;
  const launcher = process.ppid;
  setInterval(() => process.ppid !== launcher && tell(), 1000).unref();
}

async function main(): Promise<number> {
  const { json, ...options } = readArguments(process.argv.slice(2));
  const tell = (line: string) => process.stderr.write(`${line}\n`);
  const interrupted = new Promise<void>((resolve) => {
    whenLauncherIsGone(resolve);
    let times = 0;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        times += 1;
        if (times > 1) process.exit(130);
        resolve();
      });
    }
  });
  const starting = startPlatform({ ...options, progress: tell });
  const platform = await Promise.race([starting, interrupted]);
  if (platform === undefined) {
    // Interrupted while starting: what has come up still has to go down.
    await starting.then((started) => started.stop()).catch(() => undefined);
    return 0;
  }
  if (json) process.stdout.write(`${JSON.stringify(platform.facts)}\n`);
  else greet(platform);
  const words = await Promise.race([platform.died, interrupted]);
  if (words === undefined) tell('stopping');
  else tell(`skylark: ${words}`);
  await platform.stop();
  return words === undefined ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`skylark: ${error instanceof StartError ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
