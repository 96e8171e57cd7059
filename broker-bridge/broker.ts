/** The broker's side of the bridge: always one connection, made again when it ends, and read no faster than the edge takes. */
import { setTimeout as wait } from 'node:timers/promises';
import type { AckWindow } from './ack-window.ts';
import { BrokerConnection, type MqttVersion, type Take, WrongVersion } from './broker-connection.ts';
import type { Configuration } from './configuration.ts';
import { log } from './log.ts';
import type { Publish } from './publish-queue.ts';
import { retryDelayMs } from './retry.ts';

/** Payloads held at a time: a window full of long ones must not eat the memory. */
const MAX_WINDOW_BYTES = 32 * 1024 * 1024;
/** A connection that ends earlier than this counts as a failed attempt. */
const LASTING_MS = 10_000;

export interface BrokerHandlers {
  /** Gets each message; settles it when it is durable. */
  take: Take;
  changed(connected: boolean): void;
}

export class Broker {
  readonly #config: Configuration;
  readonly #handlers: BrokerHandlers;
  readonly #stop = new AbortController();
  /** Of this connection, and of those before it that still have messages under way to the edge. */
  readonly #windows = new Set<AckWindow>();
  #version: MqttVersion;
  #connection: BrokerConnection | undefined;
  #running: Promise<void> | undefined;
  #connected = false;
  #closing = false;
  #roomAgain = () => {};

  constructor(config: Configuration, handlers: BrokerHandlers) {
    this.#config = config;
    this.#handlers = handlers;
    this.#version = config.MQTT_VERSION === 'auto' ? 5 : config.MQTT_VERSION;
  }

  /** Connects, and again whenever the connection ends. */
  open(): void {
    this.#running = this.#run();
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** The version of MQTT spoken; null while it is not connected. */
  get mqtt(): '5' | '3.1.1' | null {
    if (!this.#connected) return null;
    return this.#version === 5 ? '5' : '3.1.1';
  }

  /** Messages that are not durable yet. */
  get held(): { messages: number; bytes: number; oldest: number | undefined } {
    let [messages, bytes, oldest] = [0, 0, Number.POSITIVE_INFINITY];
    for (const window of this.#windows) {
      messages += window.size;
      bytes += window.bytes;
      oldest = Math.min(oldest, window.oldest ?? oldest);
    }
    return { messages, bytes, oldest: Number.isFinite(oldest) ? oldest : undefined };
  }

  /** Publishes at QoS 1; resolves when the broker has acknowledged it, rejects when it is gone before that. */
  publish(...message: Parameters<Publish>): Promise<void> {
    if (this.#connection === undefined || !this.#connected) {
      return Promise.reject(new Error('the broker is not connected'));
    }
    return this.#connection.publish(...message);
  }

  /** To be called when messages were settled: there may be room again. */
  settled(): void {
    for (const window of this.#windows) {
      if (window.size === 0 && window !== this.#connection?.window) this.#windows.delete(window);
    }
    this.#gate();
  }

  /** Reads no more. */
  hush(): void {
    this.#closing = true;
    this.#gate();
  }

  /** Disconnects, for good. */
  async close(): Promise<void> {
    this.hush();
    this.#stop.abort();
    await this.#connection?.end();
    await this.#running;
  }

  async #run(): Promise<void> {
    const stopped = this.#stop.signal;
    for (let attempt = 0; !stopped.aborted; attempt += 1) {
      // Another connection would bring what is here once more, and without end while the edge is down.
      while (this.#full()) await new Promise<void>((resolve) => (this.#roomAgain = resolve));
      if (stopped.aborted) return;
      const began = Date.now();
      await this.#connect();
      if (Date.now() - began > LASTING_MS) attempt = 0;
      await wait(retryDelayMs(attempt, Math.random()), undefined, { signal: stopped }).catch(() => undefined);
    }
  }

  /** One connection from its beginning to its end. */
  async #connect(): Promise<void> {
    try {
      const connection = new BrokerConnection(this.#config, this.#version, (topic, payload, held) => {
        this.#handlers.take(topic, payload, held);
        this.#gate();
      });
      this.#connection = connection;
      this.#windows.add(connection.window);
      await connection.opened;
      this.#connected = true;
      log('info', 'connected to the broker', { mqtt: this.mqtt });
      this.#handlers.changed(true);
      this.#gate();
      const reason = await connection.closed;
      if (!this.#stop.signal.aborted) log('warn', `the broker is gone: ${reason}`);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#connection = undefined;
      if (this.#connected) {
        this.#connected = false;
        this.#handlers.changed(false);
      }
      this.settled();
    }
  }

  #failed(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    if (error instanceof WrongVersion && this.#config.MQTT_VERSION === 'auto' && this.#version === 5) {
      this.#version = 4;
      log('info', 'the broker has no MQTT 5: going on with 3.1.1, without shared subscriptions');
      return;
    }
    log('warn', `no connection to the broker: ${error instanceof Error ? error.message : String(error)}`);
  }

  #full(): boolean {
    const { messages, bytes } = this.held;
    return !this.#closing && (messages > this.#config.WINDOW || bytes > MAX_WINDOW_BYTES);
  }

  #gate(): void {
    const full = this.#full();
    this.#connection?.gate(full || this.#closing);
    if (!full) this.#roomAgain();
  }
}
