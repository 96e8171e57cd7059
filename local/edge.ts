/**
 * The edge on one machine: the Worker bundled as for deployment, run in workerd with its Durable Objects and R2
 * under the data directory. Bindings are read from `wrangler.toml`, so both worlds have the same.
 */

import type { ChildProcess } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { build } from 'esbuild';
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';
import { unstable_getMiniflareWorkerOptions } from 'wrangler';
import { z } from 'zod';
import { log } from './part-process.ts';

const ROOT = new URL('..', import.meta.url).pathname;
/** What answers: see `front.ts`. */
const FRONT = 'Front';

export interface EdgeOptions {
  port: number;
  /** Of the TLS terminator in front; 0 = any free port. */
  tlsPort: number;
  /** Where objects and R2 keep their state. */
  directory: string;
  /** Secrets and addresses, over what `wrangler.toml` says. */
  vars: Record<string, string>;
  /** Another module in place of the Worker's own. */
  entry?: string | undefined;
  /** The certificate of the TLS terminator in front. */
  tls: { cert: string; key: string };
}

export interface Edge {
  url: string;
  /** The same behind TLS, as devices reach it. */
  tlsUrl: string;
  workerdPid: number;
  /** Resolves when workerd has died by itself. */
  died: Promise<string>;
  close(): Promise<void>;
}

/** The Worker behind its front, to one module; `entry` is a path below the root. */
async function bundleWorker(entry = 'worker/index.ts'): Promise<string> {
  const { outputFiles } = await build({
    stdin: {
      contents: `import worker from './${entry}';
        import { frontOf } from './local/front.ts';
        export * from './${entry}';
        export const ${FRONT} = frontOf(worker);
        export default worker;`,
      resolveDir: ROOT,
    },
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['node:*', 'cloudflare:*'],
    alias: Object.fromEntries(
      ['buffer', 'crypto', 'util', 'stream', 'events'].map((name) => [name, `node:${name}`]),
    ),
    jsx: 'automatic',
    jsxImportSource: 'hono/jsx',
    define: { 'process.env.NODE_ENV': '"production"' },
    logLevel: 'silent',
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error('esbuild made no bundle of the Worker');
  return output.text;
}

/** Starts the edge on the loopback interface. */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const script = await bundleWorker(options.entry);
  const { workerOptions } = unstable_getMiniflareWorkerOptions(join(ROOT, 'wrangler.toml'));
  const children: ChildProcess[] = [];
  const note = (message: unknown) => {
    if (isSpawned(message)) children.push(message.process);
  };
  channel('child_process').subscribe(note);
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      ...workerOptions,
      bindings: { ...plainVars(workerOptions.bindings), ...options.vars },
      modules: [{ type: 'ESModule', path: join(ROOT, 'worker/index.js'), contents: script }],
      modulesRoot: ROOT,
      rootPath: ROOT,
      unsafeDirectSockets: [{ host: '127.0.0.1', port: options.port, entrypoint: FRONT }],
    }),
    host: '127.0.0.1',
    port: 0,
    resourcePersistencePath: options.directory,
    cf: false,
    logRequests: false,
    log: new Log(LogLevel.WARN),
    telemetry: { enabled: false },
  });
  await miniflare.ready;
  const url = (await miniflare.unsafeGetDirectURL(undefined, FRONT)).origin;
  channel('child_process').unsubscribe(note);
  const workerd = children.find((child) => /workerd/.test(child.spawnfile));
  if (workerd?.pid === undefined) throw new Error('workerd did not start');
  const terminator = await terminateTls(options, Number(new URL(url).port));
  const address = terminator.address();
  const exited = once(workerd, 'exit');
  return {
    url,
    tlsUrl: `https://localhost:${typeof address === 'object' && address !== null ? address.port : 0}`,
    workerdPid: workerd.pid,
    died: exited.then(([code, signal]) => `workerd ended (${signal ?? code})`),
    async close() {
      terminator.close();
      await miniflare.dispose();
      // Reaped by us: whoever looks must not see a process that is gone.
      await exited;
    },
  };
}

/** In production Cloudflare ends TLS in front of the Worker; here this does. It passes bytes, WebSockets too. */
async function terminateTls({ tls, tlsPort }: EdgeOptions, port: number): Promise<Server> {
  const server = createServer({ ...tls, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] }, (outside) => {
    const inside = connect(port, '127.0.0.1');
    outside.pipe(inside).pipe(outside);
    outside.on('error', () => inside.destroy()).on('close', () => inside.destroy());
    inside.on('error', () => outside.destroy()).on('close', () => outside.destroy());
  });
  server.on('tlsClientError', (error) => log('edge', 'warn', `TLS: ${error.message}`));
  server.listen(tlsPort, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function isSpawned(message: unknown): message is { process: ChildProcess } {
  return typeof message === 'object' && message !== null && 'process' in message;
}

/** The `[vars]` of the configuration file, all of which are plain text. */
const plainVars = (bindings: unknown): Record<string, string> =>
  z.record(z.string(), z.string()).parse(bindings ?? {});
