/** What the Worker and its objects are bound to: `wrangler.toml`, and secrets set with `wrangler secret put`. */
import type { BrokerLink } from './broker-link/broker-link.ts';
import type { Campaign } from './campaign/campaign.ts';
import type { Coordinator } from './coordinator/coordinator.ts';
import type { FleetShard } from './fleet-shard/fleet-shard.ts';
import type { FleetStream } from './fleet-stream.ts';
import type { Releases } from './releases/releases.ts';

export interface Env {
  /** The origin that stands in download links, without a trailing slash. */
  PUBLIC_URL: string;
  /** Neon Postgres, `postgres://…`. */
  DATABASE_URL: string;
  /** Only where the database is not Neon itself: where its HTTP query protocol is spoken. */
  NEON_FETCH_ENDPOINT?: string;
  UPSTASH_REDIS_REST_URL: string;
  UPSTASH_REDIS_REST_TOKEN: string;
  /** Bridge credentials, separated by commas: two while one is being rotated out. */
  BRIDGE_TOKENS: string;
  /** Signs the API's JWTs (HS256). */
  JWT_SECRET: string;
  /** JSON `{"<kid>":"<base64>"}`: HMAC keys of download links. The first one signs, all of them verify. */
  DOWNLOAD_KEYS: string;
  /** The device CA: certificate and PKCS#8 key, PEM. */
  DEVICE_CA_CERT: string;
  DEVICE_CA_KEY: string;
  /** Signs TUF snapshot and timestamp: Ed25519, PKCS#8 PEM. */
  TUF_ONLINE_KEY: string;

  ASSETS: Fetcher;
  FIRMWARE: R2Bucket;
  CAMPAIGN: DurableObjectNamespace<Campaign>;
  FLEET_SHARD: DurableObjectNamespace<FleetShard>;
  BROKER_LINK: DurableObjectNamespace<BrokerLink>;
  COORDINATOR: DurableObjectNamespace<Coordinator>;
  FLEET_STREAM: DurableObjectNamespace<FleetStream>;
  RELEASES: DurableObjectNamespace<Releases>;
}
