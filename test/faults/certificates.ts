/** Device certificates straight from the local authority: two hundred enrolments would only cost time here. */
import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import * as x509 from '@peculiar/x509';

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const HOUR_MS = 3_600_000;

export interface Certificate {
  ca: string;
  cert: string;
  key: string;
}

/** Signs for any serial number, with the authority whose certificate is in `caFile` and whose key lies beside it. */
export async function openSigner(caFile: string): Promise<(serial: string) => Promise<Certificate>> {
  const ca = readFileSync(caFile, 'utf8');
  const issuer = new x509.X509Certificate(ca).subject;
  const pem = readFileSync(caFile.replace(/\.pem$/, '.key.pem'), 'utf8');
  const der = x509.PemConverter.decodeFirst(pem);
  const signingKey = await crypto.subtle.importKey('pkcs8', der, P256, false, ['sign']);
  return async (serial) => {
    const keys = await crypto.subtle.generateKey(P256, true, ['sign', 'verify']);
    const cert = await x509.X509CertificateGenerator.create({
      notBefore: new Date(Date.now() - HOUR_MS),
      notAfter: new Date(Date.now() + HOUR_MS),
      subject: `CN=${serial}`,
      issuer,
      publicKey: keys.publicKey,
      signingKey,
      signingAlgorithm: P256,
      extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
    });
    const key = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
    return { ca, cert: cert.toString('pem'), key: x509.PemConverter.encode(key, 'PRIVATE KEY') };
  };
}
