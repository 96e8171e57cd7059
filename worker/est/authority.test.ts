import { env } from 'cloudflare:test';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Env } from '../../durable-objects/env.ts';
import { BadRequest, caCertificates, issue, readRequest, revocationList } from './authority.ts';
import { requests } from './requests.fixture.ts';

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;
let worker: Env;
let ca: x509.X509Certificate;

async function request(algorithm: { name: string; namedCurve?: string }, name = 'CN=whatever') {
  const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
  return x509.Pkcs10CertificateRequestGenerator.create({
    name,
    keys,
    signingAlgorithm: { ...algorithm, hash: 'SHA-256' },
  });
}

async function certify(body: string): Promise<x509.X509Certificate> {
  const { publicKey } = await readRequest(body);
  return new x509.X509Certificate((await issue(worker, 'D-1', publicKey)).pem);
}

describe('the device CA', () => {
  beforeAll(async () => {
    const keys = (await crypto.subtle.generateKey(P256, true, ['sign', 'verify'])) as CryptoKeyPair;
    ca = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=Test CA',
      notAfter: new Date(Date.now() + 3650 * DAY_MS),
      keys,
      signingAlgorithm: P256,
      extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
    });
    const pkcs8 = (await crypto.subtle.exportKey('pkcs8', keys.privateKey)) as ArrayBuffer;
    worker = {
      ...(env as unknown as Env),
      DEVICE_CA_CERT: ca.toString('pem'),
      DEVICE_CA_KEY: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
    };
  });

  it('certifies P-256 and Ed25519 keys, asked for in PEM or base64, for 90 days', async () => {
    for (const algorithm of [P256, { name: 'Ed25519' }]) {
      const csr = await request(algorithm);
      for (const body of [csr.toString('pem'), csr.toString('base64'), `\r\n${csr.toString('base64')}\r\n`]) {
        const certificate = await certify(body);
        expect(await certificate.verify({ publicKey: ca.publicKey })).toBe(true);
        expect(certificate.publicKey.equal(csr.publicKey)).toBe(true);
        expect(Math.round((certificate.notAfter.getTime() - Date.now()) / DAY_MS)).toBe(90);
      }
    }
  });

  it('takes from a request its key and nothing else', async () => {
    const certificate = await certify(requests.greedy);
    expect(certificate.subject).toBe('CN=D-1');
    expect(certificate.getExtension(x509.BasicConstraintsExtension)?.ca).toBe(false);
    expect(certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages).toEqual([
      x509.ExtendedKeyUsage.clientAuth,
    ]);
    expect(certificate.getExtension(x509.SubjectAlternativeNameExtension)).toBeNull();
    expect(certificate.getExtension(x509.KeyUsagesExtension)?.usages).toBe(
      x509.KeyUsageFlags.digitalSignature,
    );
  });

  it('gives every certificate a serial number of its own, 128 random bits', async () => {
    const { publicKey } = await readRequest(requests.greedy);
    const all = await Promise.all(Array.from({ length: 20 }, () => issue(worker, 'D-1', publicKey)));
    expect(new Set(all.map(({ serialHex }) => serialHex)).size).toBe(20);
    for (const { serialHex, pem } of all) {
      expect(serialHex).toMatch(/^01[0-9a-f]{32}$/);
      expect(new x509.X509Certificate(pem).serialNumber).toBe(serialHex);
    }
  });

  it('answers with the new certificate alone, and with its own when asked for that', async () => {
    const { publicKey } = await readRequest(requests.greedy);
    const { pem, pkcs7 } = await issue(worker, 'D-1', publicKey);
    const inside = (base64: string) => [...new x509.X509Certificates(base64.replace(/\s+/g, ''))];
    expect(inside(pkcs7).map((one) => one.toString('pem'))).toEqual([pem]);
    expect(inside(caCertificates(worker)).map((one) => one.toString('pem'))).toEqual([ca.toString('pem')]);
  });

  it.each(Object.entries(requests.weak))('refuses a key of kind %s', async (_kind, body) => {
    await expect(readRequest(body)).rejects.toThrow(/P-256 or Ed25519/);
  });

  it('refuses a request that is not signed by its own key', async () => {
    const der = Buffer.from((await request(P256)).rawData);
    // The last byte belongs to the signature.
    der.writeUInt8(der.readUInt8(der.length - 1) ^ 1, der.length - 1);
    await expect(readRequest(der.toString('base64'))).rejects.toThrow(/signed by its own key/);
  });

  it('refuses garbage with a sentence, whatever it is', async () => {
    const good = Buffer.from(requests.greedy, 'base64');
    const cut = fc.nat({ max: good.length - 1 }).map((end) => good.subarray(0, end).toString('base64'));
    const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('base64'));
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), cut, noise), async (body) => {
        await expect(readRequest(body)).rejects.toBeInstanceOf(BadRequest);
      }),
    );
  });

  it('takes no other key out of a request with one byte changed', async () => {
    const good = Buffer.from(requests.greedy, 'base64');
    const { keyDigest } = await readRequest(requests.greedy);
    const digest = (body: string) =>
      readRequest(body).then(
        (read) => read.keyDigest,
        (error: unknown) => error,
      );
    for (let at = 0; at < good.length; at += 1) {
      const changed = Buffer.from(good);
      changed.writeUInt8(changed.readUInt8(at) ^ (1 + (at % 255)), at);
      const result = await digest(changed.toString('base64'));
      // The outermost lengths and tags have more than one spelling.
      if (result !== keyDigest) expect(result).toBeInstanceOf(BadRequest);
    }
  });

  it('refuses a key whose curve cannot be read', async () => {
    const der = Buffer.from(requests.greedy, 'base64');
    const curve = der.indexOf(Buffer.from('06082a8648ce3d030107', 'hex'));
    for (const tag of [0x00, 0x05, 0x30, 0xff]) {
      der.writeUInt8(tag, curve);
      await expect(readRequest(der.toString('base64'))).rejects.toBeInstanceOf(BadRequest);
    }
  });

  it('lists what is revoked, signed, in the armour brokers read, with a number that grows', async () => {
    const serialHex = `01${'f'.repeat(32)}`;
    const revokedAt = new Date('2026-01-02T03:04:05Z');
    const list = async (entries: { serialHex: string; revokedAt: Date }[]) => {
      const pem = await revocationList(worker, entries);
      expect(pem).toMatch(/^-----BEGIN X509 CRL-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END X509 CRL-----\n$/);
      return new x509.X509Crl(pem);
    };
    const number = (crl: x509.X509Crl) =>
      Buffer.from(crl.getExtension('2.5.29.20')?.value ?? new ArrayBuffer(0)).toString('hex');
    const [first, second] = [await list([]), await list([{ serialHex, revokedAt }])];
    expect(first.entries).toEqual([]);
    expect(second.entries.map((entry) => [entry.serialNumber, entry.revocationDate])).toEqual([
      [serialHex, revokedAt],
    ]);
    expect(await second.verify({ publicKey: ca })).toBe(true);
    expect(second.nextUpdate?.getTime()).toBeGreaterThan(Date.now() + 6 * DAY_MS);
    expect(number(first)).toMatch(/^0206[0-7]/);
    expect(number(second) >= number(first)).toBe(true);
  });
});
