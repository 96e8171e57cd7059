/** The edge as a part: what its Worker is told, and its first accounts and metadata. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { putMetadata, seedAccounts } from './bootstrap.ts';
import { type Part, startNodePart } from './part.ts';
import { moduleAt, type Site } from './site.ts';
import type { Stores } from './stores.ts';

const edgeFacts = z.object({ url: z.string(), tls_url: z.string(), workerd_pid: z.int() });

interface EdgePart extends Part {
  url: string;
  tlsUrl: string;
}

/** Starts the edge, at `port` where that is not 0, and makes it ready for its first caller. */
export async function startEdgePart(
  site: Site,
  stores: Stores,
  port: number,
): Promise<{ url: string; tlsUrl: string }> {
  const { data, parts, repository, say } = site;
  const { url, tlsUrl } = await parts.run<EdgePart>((before) =>
    serve(site, stores, {
      EDGE_PORT: before === undefined ? String(port) : new URL(before.url).port,
      TLS_PORT: before === undefined ? '0' : new URL(before.tlsUrl).port,
    }),
  );
  await seedAccounts(stores.databaseUrl, data.secrets);
  await putMetadata(url, data.secrets.api_key, repository);
  say(`the edge is up at ${url}`);
  return { url, tlsUrl };
}

/** The part's pid is workerd's: the process around it ends with it. */
async function serve(site: Site, stores: Stores, ports: Record<string, string>): Promise<EdgePart> {
  const { data, authority } = site;
  const part = await startNodePart('worker', data.logs, moduleAt('./edge-process.ts'), {
    ...ports,
    EDGE_DIRECTORY: join(data.path, 'edge'),
    EDGE_VARS: JSON.stringify(workerVars(site)),
    TLS_CERT_FILE: authority.server.certFile,
    TLS_KEY_FILE: authority.server.keyFile,
    DATABASE_URL: stores.databaseUrl,
    REDIS_URL: stores.redisUrl,
    CACHE_TOKEN: data.secrets.cache_token,
  });
  const { url, tls_url: tlsUrl, workerd_pid: pid } = edgeFacts.parse(part.ready);
  return { ...part, pid, url, tlsUrl };
}

function workerVars({ data: { secrets }, authority, repository }: Site): Record<string, string> {
  return {
    BRIDGE_TOKENS: secrets.bridge_token,
    JWT_SECRET: secrets.jwt_secret,
    DOWNLOAD_KEYS: JSON.stringify(secrets.download_keys),
    DEVICE_CA_CERT: authority.ca.cert,
    DEVICE_CA_KEY: authority.ca.key,
    TUF_ONLINE_KEY: readFileSync(repository.keyFiles.online, 'utf8'),
  };
}
