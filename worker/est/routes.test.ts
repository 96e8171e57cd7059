import { env } from 'cloudflare:test';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { Hono } from 'hono';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Env } from '../../durable-objects/env.ts';
import type { DeviceEnv } from '../auth/device.ts';
import { est } from './routes.ts';

let worker: Env;

const ask = (path: string, init: RequestInit = {}) =>
  new Hono<DeviceEnv>().route('/', est).request(path, init, worker);
const enrol = (authorization: string | undefined, body: BodyInit = '') =>
  ask('/.well-known/est/simpleenroll', {
    method: 'POST',
    body,
    headers: authorization === undefined ? {} : { Authorization: authorization },
  });
const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`;

describe('enrolment', () => {
  beforeAll(async () => {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
    const ca = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=Test CA',
      keys,
      signingAlgorithm: algorithm,
    });
    worker = { ...(env as unknown as Env), DEVICE_CA_CERT: ca.toString('pem') };
  });

  it('tells anybody which CA to trust, and that a request needs no more than a key', async () => {
    const response = await ask('/.well-known/est/cacerts');
    expect([response.status, response.headers.get('Content-Type')]).toEqual([
      200,
      'application/pkcs7-mime; smime-type=certs-only',
    ]);
    expect(response.headers.get('Content-Transfer-Encoding')).toBe('base64');
    expect((await response.text()).split('\n').every((line) => line.length <= 64)).toBe(true);
    expect((await ask('/.well-known/est/csrattrs')).status).toBe(204);
  });

  it.each([
    ['nothing', undefined],
    ['another scheme', 'Bearer abc'],
    ['no token', basic('D-1:')],
    ['no colon', basic('D-1')],
    ['a serial number with a slash', basic('D-1/x:token')],
    ['a serial number with a wildcard', basic('+:token')],
    ['a serial number with a NUL', basic('D\0:token')],
    ['a serial number too long', basic(`${'D'.repeat(300)}:token`)],
    ['no base64', 'Basic ***'],
  ])('asks for Basic credentials when it is given %s', async (_what, authorization) => {
    const response = await enrol(authorization);
    expect(response.status).toBe(401);
    expect(response.headers.get('WWW-Authenticate')).toMatch(/^Basic realm=/);
    expect(response.headers.get('Content-Type')).toBe('application/problem+json');
  });

  it('reads no more of a request than any honest one holds', async () => {
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('A'.repeat(1024))),
    });
    for (const body of ['A'.repeat(17_000), endless]) {
      const response = await enrol(basic('D-1:token'), body);
      expect([response.status, response.headers.get('Content-Type')]).toEqual([
        413,
        'application/problem+json',
      ]);
    }
  });

  it('renews only for who proves to be a device', async () => {
    const response = await ask('/.well-known/est/simplereenroll', { method: 'POST', body: '' });
    expect([response.status, response.headers.get('WWW-Authenticate')]).toEqual([
      401,
      'Bearer realm="skylark"',
    ]);
  });
});
