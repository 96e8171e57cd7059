/** The local certificate authority: signs the broker, the edge, the bridge, and (through EST) the devices. */
import 'reflect-metadata';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const BRIDGE_NAME = 'skylark.bridge';
const YEARS_MS = 10 * 365 * 86_400_000;

/** A PEM certificate with its key, as files and as text. */
export interface Identity {
  certFile: string;
  keyFile: string;
  cert: string;
  key: string;
}

export interface Authority {
  ca: Identity;
  /** For `localhost`: the broker, and the edge's TLS. */
  server: Identity;
  /** The bridge's client certificate. Its OU tells it from a device, whose subject is only a CN. */
  bridge: Identity;
  /** The bridge's CN: no serial number has a dot, so no device can be called so. */
  bridgeName: string;
}

/** The authority kept in `directory`, made where it is not there. */
export async function openAuthority(directory: string): Promise<Authority> {
  const name = 'CN=Skylark local CA';
  const ca = await identity(directory, 'ca', async (keys) =>
    x509.X509CertificateGenerator.createSelfSigned({
      ...validity(),
      name,
      keys,
      signingAlgorithm: P256,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    }),
  );
  const signingKey = await importKey(ca.key);
  const authority = new x509.X509Certificate(ca.cert);
  const sign =
    (subject: string, usage: x509.ExtendedKeyUsageType, names?: x509.JsonGeneralNames) =>
    (keys: CryptoKeyPair) =>
      leaf({ authority, signingKey, subject, usage, names, publicKey: keys.publicKey });
  return {
    ca,
    server: await identity(
      directory,
      'server',
      sign('CN=localhost', x509.ExtendedKeyUsage.serverAuth, [
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
        { type: 'ip', value: '::1' },
      ]),
    ),
    bridge: await identity(
      directory,
      'bridge',
      sign(`CN=${BRIDGE_NAME}, OU=skylark-bridge`, x509.ExtendedKeyUsage.clientAuth),
    ),
    bridgeName: BRIDGE_NAME,
  };
}

type CryptoKeyPair = Awaited<ReturnType<typeof newKeys>>;
type CryptoKey = CryptoKeyPair['publicKey'];

const newKeys = () => crypto.subtle.generateKey(P256, true, ['sign', 'verify']);

async function leaf(of: {
  authority: x509.X509Certificate;
  signingKey: CryptoKey;
  subject: string;
  usage: x509.ExtendedKeyUsageType;
  names: x509.JsonGeneralNames | undefined;
  publicKey: CryptoKey;
}): Promise<x509.X509Certificate> {
  return x509.X509CertificateGenerator.create({
    ...validity(),
    subject: of.subject,
    issuer: of.authority.subject,
    publicKey: of.publicKey,
    signingKey: of.signingKey,
    signingAlgorithm: P256,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([of.usage]),
      await x509.AuthorityKeyIdentifierExtension.create(of.authority.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(of.publicKey),
      ...(of.names === undefined ? [] : [new x509.SubjectAlternativeNameExtension(of.names)]),
    ],
  });
}

async function identity(
  directory: string,
  name: string,
  make: (keys: CryptoKeyPair) => Promise<x509.X509Certificate>,
): Promise<Identity> {
  const [certFile, keyFile] = [join(directory, `${name}.pem`), join(directory, `${name}.key.pem`)];
  if (!existsSync(certFile) || !existsSync(keyFile)) {
    const keys = await newKeys();
    const cert = await make(keys);
    const pkcs8 = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
    writeFileSync(keyFile, `${x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`, { mode: 0o600 });
    writeFileSync(certFile, `${cert.toString('pem')}\n`);
  }
  return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
}

function importKey(pem: string) {
  return crypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(pem), P256, false, ['sign']);
}

const validity = () => ({
  notBefore: new Date(Date.now() - 3_600_000),
  notAfter: new Date(Date.now() + YEARS_MS),
});
