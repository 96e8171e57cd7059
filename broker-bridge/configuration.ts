/** The bridge's environment variables. */
import { hostname } from 'node:os';
import { z } from 'zod';

const file = z.string().min(1).optional();

const configuration = z.object({
  /** `mqtts://host:port`; with `mqtt://` it is not encrypted. */
  MQTT_URL: z.url({ protocol: /^(mqtts?|tls|ssl|tcp)$/ }),
  MQTT_CA_FILE: file,
  MQTT_CERT_FILE: file,
  MQTT_KEY_FILE: file,
  MQTT_USERNAME: z.string().optional(),
  MQTT_PASSWORD: z.string().optional(),
  /** 5 shares the load between bridges, 4 is MQTT 3.1.1; `auto`: 5, or 3.1.1 if the broker says it has no 5. */
  MQTT_VERSION: z
    .enum(['auto', '4', '5'])
    .default('auto')
    .transform((text) => (text === 'auto' ? text : text === '5' ? 5 : 4)),
  EDGE_URL: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, '')),
  BRIDGE_TOKEN: z.string().min(16),
  /** Stable over restarts, the broker keeps what came meanwhile for this name; no two bridges may share one. */
  BRIDGE_ID: z.string().min(1).max(64).default(hostname().slice(0, 64)),
  HEALTH_PORT: z.coerce.number().int().min(0).max(65_535).default(9464),
  HEALTH_HOST: z.string().default('127.0.0.1'),
  /** Most messages not acknowledged at a time. */
  WINDOW: z.coerce.number().int().min(1).max(65_535).default(16_384),
});
export type Configuration = z.infer<typeof configuration>;

/** Reads the environment. Throws one sentence that names every variable that is missing or wrong. */
export function readConfiguration(env: NodeJS.ProcessEnv): Configuration {
  const result = configuration.safeParse(env);
  if (result.success) return result.data;
  const wrong = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new Error(`the bridge cannot start: ${wrong.join('; ')}`);
}
