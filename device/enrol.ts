/** A device's first certificate: a key made here that never leaves, and EST (RFC 7030 §4.2) with a one-time token. */
import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import * as x509 from '@peculiar/x509';
import { Agent, fetch } from 'undici';
import { writeDurably } from './durable-file.ts';

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const REQUEST_MS = 30_000;

export interface Enrolment {
  server_url: string;
  ca_file: string;
  serial_no: string;
  token: string;
  cert_file: string;
  key_file: string;
}

/** Whether there is a certificate that is still good. */
export function isEnrolled(certFile: string, keyFile: string): boolean {
  if (!existsSync(certFile) || !existsSync(keyFile)) return false;
  const { validToDate } = new X509Certificate(readFileSync(certFile));
  return validToDate.getTime() > Date.now();
}

/** Makes a P-256 key and gets a certificate for it. Throws a sentence where the server refuses. */
export async function enrol(enrolment: Enrolment): Promise<void> {
  const { serial_no, token } = enrolment;
  const keys = await crypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: `CN=${serial_no}`,
    keys,
    signingAlgorithm: P256,
  });
  const pkcs8 = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  writeDurably(enrolment.key_file, `${x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`, 0o600);
  const dispatcher = new Agent({ connect: { ca: readFileSync(enrolment.ca_file) } });
  try {
    const response = await fetch(new URL('/.well-known/est/simpleenroll', enrolment.server_url), {
      method: 'POST',
      headers: {
        Authorization: `Basic ${Buffer.from(`${serial_no}:${token}`).toString('base64')}`,
        'Content-Type': 'application/pkcs10',
        'Content-Transfer-Encoding': 'base64',
      },
      body: Buffer.from(request.rawData).toString('base64'),
      dispatcher,
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    const answer = await response.text();
    if (!response.ok)
      throw new Error(`${serial_no} could not enrol: ${response.status} ${answer.slice(0, 300)}`);
    writeDurably(enrolment.cert_file, ownCertificate(answer, serial_no));
  } finally {
    await dispatcher.close();
  }
}

/** The device's certificate out of a PKCS#7 bundle that may hold the CA's too. */
function ownCertificate(base64: string, serialNo: string): string {
  const certificates = new x509.X509Certificates(base64.replace(/\s+/g, ''));
  const own = certificates.find((certificate) => certificate.subject === `CN=${serialNo}`);
  if (own === undefined) throw new Error(`the certificate that came is not for ${serialNo}`);
  return `${own.toString('pem')}\n`;
}
