import { env } from 'cloudflare:test';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import type { SQL } from 'drizzle-orm';
import { PgDialect } from 'drizzle-orm/pg-core';
import { type JWTPayload, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Env } from '../../durable-objects/env.ts';
import type { Database } from '../../store/connection.ts';
import { proveDevice } from './device.ts';

const worker: Env = { ...(env as unknown as Env), PUBLIC_URL: 'https://ota.example' };
const kid = '01ab';
const path = '/api/v1/updates/check';
const nowS = () => Math.floor(Date.now() / 1000);

/** A ledger that holds one certificate, whose number is `kid`, or none that is good. */
function ledger(pem?: string): Database {
  let found: object[] = [];
  const query = {
    from: () => query,
    innerJoin: () => query,
    where: (condition: SQL) => {
      const asked = new PgDialect().sqlToQuery(condition).params[0];
      if (pem !== undefined && asked === kid) found = [{ pem, deviceId: 'id-1', serialNo: 'D1' }];
      return query;
    },
    limit: async () => found,
  };
  // Just as much of Drizzle as the one query under test calls.
  return { select: () => query } as unknown as Database;
}

async function certify(algorithm: { name: string; namedCurve?: string }) {
  const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
  const signingAlgorithm = { ...algorithm, hash: 'SHA-256' };
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=D1',
    keys,
    signingAlgorithm,
  });
  return { key: keys.privateKey, pem: certificate.toString('pem') };
}

let p256: Awaited<ReturnType<typeof certify>>;
let ed25519: Awaited<ReturnType<typeof certify>>;

const claims = (change: JWTPayload = {}): JWTPayload => ({
  sub: 'D1',
  aud: 'https://ota.example',
  htm: 'GET',
  htu: `https://ota.example${path}`,
  iat: nowS(),
  exp: nowS() + 60,
  jti: crypto.randomUUID(),
  ...change,
});
const sign = (payload: JWTPayload, key = p256.key, alg = 'ES256', named = kid) =>
  new SignJWT(payload).setProtectedHeader({ alg, kid: named }).sign(key);
const ask = (token: string, url = `https://ota.example${path}?serial_no=D1`, db = ledger(p256.pem)) =>
  proveDevice(new Request(url, { headers: { Authorization: `Bearer ${token}` } }), worker, db);
const proved = { device_id: 'id-1', serial_no: 'D1' };

describe('a device over HTTPS', () => {
  beforeAll(async () => {
    p256 = await certify({ name: 'ECDSA', namedCurve: 'P-256' });
    ed25519 = await certify({ name: 'Ed25519' });
  });

  it('is known by a token made with the key of its certificate', async () => {
    expect(await ask(await sign(claims()))).toEqual(proved);
    const token = await sign(claims(), ed25519.key, 'EdDSA');
    expect(await ask(token, undefined, ledger(ed25519.pem))).toEqual(proved);
  });

  it.each(['01AB', '1ab', '0001ab'])('may write the number of its certificate as %s', async (named) => {
    expect(await ask(await sign(claims(), p256.key, 'ES256', named))).toEqual(proved);
    expect(await ask(await sign(claims(), p256.key, 'ES256', '01ac'))).toMatch(/unknown/);
  });

  it('may leave out the prefix of the API', async () => {
    const short = claims({ htu: 'https://ota.example/updates/check' });
    expect(await ask(await sign(short))).toEqual(proved);
  });

  it('may reach us through a TLS terminator on the same machine', async () => {
    const local = claims({ aud: 'https://localhost:8443', htu: `https://localhost:8443${path}` });
    expect(await ask(await sign(local), `http://127.0.0.1:8787${path}`)).toEqual(proved);
    expect(await ask(await sign(local))).toMatch(/aud/);
  });

  it('uses a token once', async () => {
    const token = await sign(claims());
    expect(await ask(token)).toEqual(proved);
    expect(await ask(token)).toMatch(/used before/);
  });

  it.each<[string, JWTPayload, RegExp]>([
    ['for another method', { htm: 'POST' }, /htm/],
    ['for another address', { htu: 'https://ota.example/api/v1/status' }, /htu/],
    ['for another server', { aud: 'https://other.example', htu: `https://other.example${path}` }, /aud/],
    ['for an address elsewhere', { htu: `https://other.example${path}` }, /htu/],
    ['of another device', { sub: 'D2' }, /sub/],
    ['that is over', { iat: nowS() - 300, exp: nowS() - 240 }, /clock/],
    ['that lasts too long', { exp: nowS() + 120 }, /at most 60 s/],
    ['from the future', { iat: nowS() + 300, exp: nowS() + 360 }, /clock/],
    ['without a name of its own', { jti: '' }, /jti/],
  ])('cannot use a token %s', async (_what, change, reason) => {
    expect(await ask(await sign(claims(change)))).toMatch(reason);
  });

  it('cannot use a token of another key, or of none', async () => {
    const other = await certify({ name: 'ECDSA', namedCurve: 'P-256' });
    expect(await ask(await sign(claims(), other.key))).toMatch(/not signed/);
    expect(await ask(await sign(claims(), ed25519.key, 'EdDSA'))).toMatch(/not signed/);
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const unsigned = `${part({ alg: 'none', kid })}.${part(claims())}.`;
    const shared = await new SignJWT(claims())
      .setProtectedHeader({ alg: 'HS256', kid })
      .sign(Buffer.from(p256.pem));
    for (const token of [unsigned, shared, 'garbage', 'a.b.c']) expect(await ask(token)).toMatch(/alg/);
  });

  it('is nobody once its certificate is revoked', async () => {
    expect(await ask(await sign(claims()), undefined, ledger())).toMatch(/revoked/);
  });
});
