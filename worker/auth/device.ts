/**
 * A device over HTTPS: a JWT made with its certificate's key, bound to one request and good once. There is no
 * shared secret, and what somebody overhears is worth nothing a minute later.
 */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { createMiddleware } from 'hono/factory';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { z } from 'zod';
import type { Env } from '../../durable-objects/env.ts';
import { serialNo } from '../../protocol/identifiers.ts';
import { shardOf } from '../../protocol/shards.ts';
import { findGoodCertificate } from '../../store/certificates.ts';
import type { Database } from '../../store/connection.ts';
import type { AppEnv } from '../context.ts';
import { problem } from '../problem.ts';
import { uplinkOf } from './uplink.ts';

const LIFETIME_S = 60;
/** How far a device's clock may be off. */
const SKEW_S = 30;

const header = z.object({
  alg: z.enum(['ES256', 'EdDSA', 'Ed25519']),
  kid: z.string().regex(/^[0-9a-fA-F]{1,40}$/),
});
const claims = z.object({
  sub: serialNo,
  aud: z.string(),
  htm: z.string(),
  htu: z.string(),
  iat: z.number(),
  exp: z.number(),
  jti: z.string().min(8).max(128),
});

export interface ProvedDevice {
  device_id: string;
  serial_no: string;
}

export type DeviceEnv = AppEnv & { Variables: { device: ProvedDevice } };

/** Lets only devices pass, as `c.var.device`. */
export const requireDevice = createMiddleware<DeviceEnv>(async (c, next) => {
  const result = await proveDevice(c.req.raw, c.env, c.var.db);
  if (typeof result === 'string') return problem(401, 'Not a device', result);
  c.set('device', result);
  return next();
});

/** The device that made this request, or a sentence that says why it is none. */
export async function proveDevice(request: Request, env: Env, db: Database): Promise<ProvedDevice | string> {
  const token = /^Bearer\s+(\S+)$/i.exec(request.headers.get('Authorization') ?? '')?.[1];
  if (token === undefined) return 'Send a token signed with the key of your certificate.';
  const head = header.safeParse(readHeader(token));
  if (!head.success) return 'The token needs alg ES256 or EdDSA and the certificate serial number as kid.';
  const certificate = await findGoodCertificate(db, serialHexOf(head.data.kid), new Date());
  if (certificate === undefined) return 'The certificate is unknown, expired or revoked.';
  const said = await verify(token, head.data.alg, certificate.pem);
  if (typeof said === 'string') return said;
  if (said.sub !== certificate.serialNo) return 'sub is not the serial number of the certificate.';
  const wrong = wrongBinding(said, request, env);
  if (wrong !== undefined) return wrong;
  const shard = env.FLEET_SHARD.getByName(`shard-${shardOf(said.sub)}`);
  if (!(await shard.useToken(said.sub, said.jti, Math.ceil(said.exp), uplinkOf(request))))
    return 'This token was used before.';
  return { device_id: certificate.deviceId, serial_no: certificate.serialNo };
}

/** As it is stored, in whole bytes: a number written in hex may have lost its leading zero. */
function serialHexOf(kid: string): string {
  const digits = kid.toLowerCase().replace(/^0+(?=.)/, '');
  return digits.padStart(digits.length + (digits.length % 2), '0');
}

function readHeader(token: string): unknown {
  try {
    return decodeProtectedHeader(token);
  } catch {
    return undefined;
  }
}

/** What the token says, or a sentence that says why that does not count. */
async function verify(token: string, alg: string, pem: string): Promise<z.infer<typeof claims> | string> {
  let payload: unknown;
  try {
    const key = await new x509.X509Certificate(pem).publicKey.export();
    ({ payload } = await jwtVerify(token, key, { algorithms: [alg], clockTolerance: SKEW_S }));
  } catch {
    return 'The token is not signed by the certificate, or not good now (check the clock).';
  }
  const said = claims.safeParse(payload).data;
  if (said === undefined)
    return 'The token needs sub, aud, htm, htu, iat, exp and jti (8 to 128 characters).';
  if (said.exp - said.iat > LIFETIME_S) return `exp may be at most ${LIFETIME_S} s after iat.`;
  return said.iat > Date.now() / 1000 + SKEW_S ? 'iat lies in the future (check the clock).' : said;
}

/** A token for another request is none for this one. Schemes may differ: TLS can end before us. */
function wrongBinding(said: z.infer<typeof claims>, request: Request, env: Env): string | undefined {
  const here = new URL(request.url);
  const hosts = [here.host, new URL(env.PUBLIC_URL).host];
  const [aud, htu] = [parseUrl(said.aud), parseUrl(said.htu)];
  if (aud === undefined || !(hosts.includes(aud.host) || isLoopback(aud, here)))
    return 'aud is not this origin.';
  if (said.htm.toUpperCase() !== request.method) return 'htm is not the method of this request.';
  if (htu?.host !== aud.host || doorOf(htu) !== doorOf(here))
    return 'htu is not the address of this request.';
  return undefined;
}

/** Device-facing paths answer with and without the API's prefix, and are rewritten before they come here. */
const doorOf = (url: URL): string => url.pathname.replace(/^\/api\/v1(?=\/)/, '');

/** On one machine a TLS terminator may listen on another port than we do. */
function isLoopback(aud: URL, here: URL): boolean {
  const names = ['localhost', '127.0.0.1', '[::1]'];
  return names.includes(aud.hostname) && names.includes(here.hostname);
}

const parseUrl = (text: string): URL | undefined => (URL.canParse(text) ? new URL(text) : undefined);
