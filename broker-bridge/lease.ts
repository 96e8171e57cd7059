/** The bridge's lease: it says every few seconds that it is there, and how it is doing. */
import { request } from 'undici';
import { BRIDGE_LEASE_S, type BridgeState } from '../protocol/bridge.ts';
import type { EdgeAddress } from './edge-sender.ts';
import { log } from './log.ts';

const RENEW_MS = (BRIDGE_LEASE_S * 1000) / 3;
const TIMEOUT_MS = 5_000;

export class Lease {
  readonly #edge: EdgeAddress;
  readonly #look: () => BridgeState;
  readonly #timer: NodeJS.Timeout;
  #failing = false;
  #renewing: Promise<void> = Promise.resolve();

  /** Takes the lease, and renews it until it is ended. */
  constructor(edge: EdgeAddress, look: () => BridgeState) {
    this.#edge = edge;
    this.#look = look;
    this.#timer = setInterval(() => this.renew(), RENEW_MS);
    this.renew();
  }

  /** Gives it back. Where that fails, it runs out by itself. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    await this.#send('DELETE').catch(() => undefined);
  }

  /** Says now how the bridge is doing. */
  renew(): void {
    this.#renewing = this.#send('PUT', JSON.stringify(this.#look())).then(
      () => {
        this.#failing = false;
      },
      (error: unknown) => {
        if (!this.#failing) log('warn', `the lease was not renewed: ${String(error)}`);
        this.#failing = true;
      },
    );
  }

  async #send(method: 'PUT' | 'DELETE', body?: string): Promise<void> {
    const { statusCode, body: answer } = await request(
      `${this.#edge.url}/bridge/leases/${encodeURIComponent(this.#edge.bridgeId)}`,
      {
        method,
        headers: { authorization: `Bearer ${this.#edge.token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      },
    );
    await answer.dump();
    if (statusCode >= 300) throw new Error(`the edge answered ${statusCode}`);
  }
}
