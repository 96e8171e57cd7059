/** The edge as a process of its own, with the shims its drivers talk to. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { startEdge } from './edge.ts';
import { serveNeon } from './neon-shim.ts';
import { log, runPart } from './part-process.ts';
import { onFreePort } from './ports.ts';
import { serveUpstash } from './upstash-shim.ts';

const environment = z.object({
  EDGE_PORT: z.coerce.number(),
  TLS_PORT: z.coerce.number(),
  EDGE_DIRECTORY: z.string(),
  EDGE_VARS: z
    .string()
    .transform((text): Record<string, string> => z.record(z.string(), z.string()).parse(JSON.parse(text))),
  TLS_CERT_FILE: z.string(),
  TLS_KEY_FILE: z.string(),
  DATABASE_URL: z.string(),
  REDIS_URL: z.string(),
  CACHE_TOKEN: z.string(),
});

await runPart('worker', async () => {
  const env = environment.parse(process.env);
  const neon = await serveNeon(env.DATABASE_URL);
  const upstash = await serveUpstash(env.REDIS_URL, env.CACHE_TOKEN);
  const start = (port: number) =>
    startEdge({
      port,
      tlsPort: env.TLS_PORT,
      directory: env.EDGE_DIRECTORY,
      tls: { cert: readFileSync(env.TLS_CERT_FILE, 'utf8'), key: readFileSync(env.TLS_KEY_FILE, 'utf8') },
      vars: {
        ...env.EDGE_VARS,
        PUBLIC_URL: `http://127.0.0.1:${port}`,
        DATABASE_URL: env.DATABASE_URL,
        NEON_FETCH_ENDPOINT: neon.url,
        UPSTASH_REDIS_REST_URL: upstash.url,
        UPSTASH_REDIS_REST_TOKEN: env.CACHE_TOKEN,
      },
    });
  const edge = await (env.EDGE_PORT === 0 ? onFreePort(start) : start(env.EDGE_PORT));
  let closing = false;
  void edge.died.then((words) => {
    if (closing) return;
    log('worker', 'error', words);
    process.exit(1);
  });
  return {
    facts: { url: edge.url, tls_url: edge.tlsUrl, workerd_pid: edge.workerdPid },
    async close() {
      closing = true;
      await edge.close();
      await Promise.all([neon.close(), upstash.close()]);
    },
  };
});
