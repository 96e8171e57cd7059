/** `device.json`: what a device is told about itself. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { model, serialNo, versionText } from '../protocol/identifiers.ts';

const schema = z.object({
  serial_no: serialNo,
  mqtt_broker: z.url({ protocol: /^(mqtts|tls|ssl)$/ }),
  cert_file: z.string(),
  key_file: z.string(),
  ca_file: z.string(),
  model: model.default('generic'),
  /** The version of the factory image, before the first update. */
  version: versionText.default('v0.0.0'),
  /** Slots, settings, reports not sent yet. Beside the configuration file by default. */
  state_dir: z.string().optional(),
  /** Where this device reaches Skylark, if not at the address in the commands: a TLS proxy, a site gateway. */
  server_url: z.url({ protocol: /^https?$/ }).optional(),
  /** The root of the update metadata this device was made with; without one the first it sees is pinned. */
  tuf_root_file: z.string().optional(),
  heartbeat_interval_s: z.number().min(1).default(300),
  group: z.string().max(64).optional(),
  /** How long the local page offers to postpone an update that may be, and for how long it is then postponed. */
  ask_s: z.number().min(0).max(86_400).default(300),
  postpone_s: z.int().min(1).max(2_592_000).default(86_400),
  /** The local page: `false` for none, port 0 for any free one. */
  web: z
    .union([
      z.literal(false),
      z.object({ host: z.string().default('127.0.0.1'), port: z.int().default(8080) }),
    ])
    .default({
      host: '127.0.0.1',
      port: 8080,
    }),
});

export type DeviceConfiguration = Omit<z.infer<typeof schema>, 'state_dir'> & { state_dir: string };

/** Reads and checks a configuration; paths in it are relative to `directory`. Throws a sentence naming what is wrong. */
export function checkConfiguration(value: unknown, directory: string): DeviceConfiguration {
  const result = schema.safeParse(value);
  if (!result.success) {
    const wrong = result.error.issues.map((issue) => `${issue.path.join('.') || 'file'}: ${issue.message}`);
    throw new Error(`the device configuration is wrong: ${wrong.join('; ')}`);
  }
  const at = (path: string) => resolve(directory, path);
  const { state_dir = 'state', tuf_root_file: root, ...rest } = result.data;
  return {
    ...rest,
    state_dir: at(state_dir),
    cert_file: at(rest.cert_file),
    key_file: at(rest.key_file),
    ca_file: at(rest.ca_file),
    ...(root === undefined ? {} : { tuf_root_file: at(root) }),
  };
}

export function readConfiguration(file: string): DeviceConfiguration {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return checkConfiguration(value, dirname(resolve(file)));
}
