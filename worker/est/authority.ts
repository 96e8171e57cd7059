/** The device CA: issues certificates and the revocation list. Of a request it takes the public key, nothing else. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import type { Env } from '../../durable-objects/env.ts';

const LIFETIME_MS = 90 * 86_400_000;
/** A device's clock may be a little slow. */
const BACKDATE_MS = 3_600_000;
const CRL_LIFETIME_MS = 7 * 86_400_000;
const P256 = { name: 'ECDSA', namedCurve: 'P-256' };

/** Thrown where a certificate request cannot be granted. The message is for whoever sent it. */
export class BadRequest extends Error {}

export interface Issued {
  serialHex: string;
  pem: string;
  notAfter: Date;
  /** The certificate and no other, PKCS#7 certs-only, base64 (RFC 7030 §4.2.3). */
  pkcs7: string;
}

async function open(env: Env) {
  const certificate = new x509.X509Certificate(env.DEVICE_CA_CERT);
  const pkcs8 = x509.PemConverter.decodeFirst(env.DEVICE_CA_KEY);
  const key = await crypto.subtle.importKey('pkcs8', pkcs8, P256, false, ['sign']);
  return { certificate, key };
}

/** Reads a PKCS#10 request, PEM or base64 DER, and checks that it proves possession of its key. */
export async function readRequest(body: string): Promise<{ publicKey: x509.PublicKey; keyDigest: string }> {
  const { request, publicKey } = parse(body);
  const { name, namedCurve } = publicKey.algorithm as { name: string; namedCurve?: string };
  if (!(name === 'Ed25519' || (name === 'ECDSA' && namedCurve === 'P-256'))) {
    throw new BadRequest('Device keys are P-256 or Ed25519.');
  }
  const proved = await request.verify().catch(() => false);
  if (!proved) throw new BadRequest('The request is not signed by its own key.');
  const digest = await crypto.subtle.digest('SHA-256', publicKey.rawData);
  return { publicKey, keyDigest: Buffer.from(digest).toString('hex') };
}

/** A request and its key: parsed in one go, since the library reads the key only when it is asked for. */
function parse(body: string): { request: x509.Pkcs10CertificateRequest; publicKey: x509.PublicKey } {
  const base64 = body.replace(/-----[^-]+-----/g, '').replace(/\s+/g, '');
  try {
    const request = new x509.Pkcs10CertificateRequest(base64);
    return { request, publicKey: request.publicKey };
  } catch {
    throw new BadRequest('The body is no PKCS#10 certificate request.');
  }
}

/** Issues a client certificate whose subject is `CN={serial_no}`, good for 90 days. */
export async function issue(env: Env, serialNo: string, publicKey: x509.PublicKey): Promise<Issued> {
  const ca = await open(env);
  const now = Date.now();
  const notAfter = new Date(Math.min(now + LIFETIME_MS, ca.certificate.notAfter.getTime()));
  // 128 random bits behind a leading 01: never negative, never shortened.
  const serialHex = `01${Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex')}`;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialHex,
    subject: [{ CN: [serialNo] }],
    issuer: ca.certificate.subject,
    notBefore: new Date(now - BACKDATE_MS),
    notAfter,
    publicKey,
    signingKey: ca.key,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(ca.certificate.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return {
    serialHex,
    pem: certificate.toString('pem'),
    notAfter,
    pkcs7: bundle(certificate),
  };
}

/** The CA's certificate as EST's `cacerts` answers it. */
export const caCertificates = (env: Env): string => bundle(new x509.X509Certificate(env.DEVICE_CA_CERT));

/** The revocation list, PEM, good for a week. */
export async function revocationList(env: Env, revoked: readonly { serialHex: string; revokedAt: Date }[]) {
  const ca = await open(env);
  const now = new Date();
  const crl = await x509.X509CrlGenerator.create({
    issuer: ca.certificate.subject,
    thisUpdate: now,
    nextUpdate: new Date(now.getTime() + CRL_LIFETIME_MS),
    entries: revoked.map(({ serialHex, revokedAt }) => ({
      serialNumber: serialHex,
      revocationDate: revokedAt,
    })),
    extensions: [await x509.AuthorityKeyIdentifierExtension.create(ca.certificate.publicKey), crlNumber(now)],
    signingKey: ca.key,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  // The library writes "BEGIN CRL", which OpenSSL and brokers do not know (RFC 7468 §6).
  return `-----BEGIN X509 CRL-----\n${lines(crl.rawData)}-----END X509 CRL-----\n`;
}

/** The time in milliseconds: it only grows, and asks for no counter to be kept (RFC 5280 §5.2.3). */
function crlNumber(now: Date): x509.Extension {
  // Six bytes last until the year 6429, with the sign bit free.
  const number = now.getTime().toString(16).padStart(12, '0');
  return new x509.Extension('2.5.29.20', false, Buffer.from(`0206${number}`, 'hex'));
}

const bundle = (certificate: x509.X509Certificate): string =>
  lines(new x509.X509Certificates([certificate]).export('raw'));

/** Base64 in lines of 64, the last one ended too. */
const lines = (der: ArrayBuffer): string =>
  Buffer.from(der)
    .toString('base64')
    .replace(/.{1,64}/g, '$&\n');
