/** Skylark over HTTPS, as this device: trusted through its CA file, proved with its certificate's key. */
import { createPrivateKey, randomUUID, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { SignJWT } from 'jose';
import { Agent, fetch, type RequestInit, type Response } from 'undici';
import { type OtaUpdate, otaUpdate } from '../protocol/messages.ts';
import type { DeviceConfiguration } from './configuration.ts';

const CONNECT_MS = 10_000;
/** Without a byte for this long, a connection counts as dead. */
const SILENCE_MS = 30_000;

export class Server {
  readonly #config: DeviceConfiguration;
  readonly #agent: Agent;

  constructor(config: DeviceConfiguration) {
    this.#config = config;
    this.#agent = new Agent({
      connect: { ca: [...rootCertificates, readFileSync(config.ca_file, 'utf8')], timeout: CONNECT_MS },
      headersTimeout: SILENCE_MS,
      bodyTimeout: SILENCE_MS,
    });
  }

  /** The address as this device reaches it. */
  address(url: string): string {
    const { server_url: own } = this.#config;
    if (own === undefined) return url;
    const { pathname, search } = new URL(url);
    return new URL(pathname + search, own).href;
  }

  fetch(url: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.address(url), { ...init, dispatcher: this.#agent });
  }

  /** Asks for the update this device should install now; `undefined` where there is none. */
  async check(origin: string, version: string): Promise<OtaUpdate | undefined> {
    const { serial_no, model } = this.#config;
    const url = new URL('/api/v1/updates/check', this.address(origin));
    for (const [key, value] of Object.entries({ serial_no, model, version }))
      url.searchParams.set(key, value);
    const response = await this.fetch(url.href, {
      headers: { Authorization: `Bearer ${await this.#proof('GET', url)}` },
    });
    if (response.status === 204) return undefined;
    if (!response.ok)
      throw new Error(`asking for an update was answered ${response.status}: ${await response.text()}`);
    return otaUpdate.parse(await response.json());
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** A token for one request, good once and for a minute. */
  async #proof(method: string, url: URL): Promise<string> {
    const { cert_file, key_file, serial_no } = this.#config;
    if (!existsSync(cert_file)) throw new Error('this device has no certificate yet');
    const key = createPrivateKey(readFileSync(key_file));
    const certificate = new X509Certificate(readFileSync(cert_file));
    return new SignJWT({ htm: method, htu: url.origin + url.pathname })
      .setProtectedHeader({
        alg: key.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256',
        kid: certificate.serialNumber.toLowerCase(),
      })
      .setSubject(serial_no)
      .setAudience(url.origin)
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime('60 s')
      .sign(key);
  }
}
