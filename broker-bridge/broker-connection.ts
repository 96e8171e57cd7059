/**
 * One connection to the broker, from CONNECT to its end; the next one is a new object, so that nothing of an old
 * connection, no packet id and no command under way, is ever taken for the new one's.
 */
import { type IClientOptions, MqttClient } from 'mqtt';
import { SESSION_S } from '../protocol/bridge.ts';
import { offlineReport } from '../protocol/messages.ts';
import { parseUpTopic, UP_CHANNELS } from '../protocol/topics.ts';
import { AckWindow, type Held } from './ack-window.ts';
import { openSocket } from './broker-address.ts';
import type { Configuration } from './configuration.ts';
import { HeldSocket } from './held-socket.ts';
import { type Publish, PublishQueue } from './publish-queue.ts';

const KEEPALIVE_S = 30;
const CONNECT_MS = 30_000;
const END_MS = 1_000;
/** Commands under way at a time, where the broker sets no lower limit (MQTT 5 §3.2.2.3.3). */
const MAX_PUBLISHING = 256;
/** "Unacceptable protocol version" in MQTT 3.1.1, "Unsupported Protocol Version" in MQTT 5. */
const WRONG_VERSION = [1, 132];

export type MqttVersion = 4 | 5;

/** The broker does not speak this version of MQTT. */
export class WrongVersion extends Error {}

export type Take = (topic: string, payload: Buffer, held: Held) => void;

export class BrokerConnection {
  readonly window: AckWindow;
  /** Resolves when the broker has taken the subscriptions; rejects with what went wrong. */
  readonly opened: Promise<void>;
  /** Resolves when it is gone, with the reason. */
  readonly closed: Promise<string>;
  readonly #socket: HeldSocket;
  readonly #client: MqttClient;
  readonly #publishing: PublishQueue;
  #ending = false;
  #gated = false;
  #error: Error | undefined;
  #reason = 'the broker closed the connection';

  /** Begins to connect. `take` gets each message once; it settles it with the window. */
  constructor(config: Configuration, version: MqttVersion, take: Take) {
    const socket = new HeldSocket(openSocket(config));
    this.#socket = socket;
    this.window = new AckWindow((ids) => socket.acknowledge(ids));
    this.#client = new MqttClient(() => socket, clientOptions(config, version, socket));
    this.#publishing = new PublishQueue(async (topic, payload, expiresAt) => {
      const properties =
        version === 5 && expiresAt !== undefined ? { messageExpiryInterval: secondsUntil(expiresAt) } : {};
      await this.#client.publishAsync(topic, payload, { qos: 1, properties });
    }, MAX_PUBLISHING);
    this.#client.on('message', (topic, payload, { messageId, retain }) => {
      if (this.#ending) return;
      const held = this.window.hold(messageId, payload.length, Date.now());
      if (held === undefined) return;
      if (retain && saysPresence(topic, payload)) this.window.settle([held]);
      else take(topic, payload, held);
    });
    this.closed = this.#watchEnd();
    this.opened = this.#open(version);
  }

  /** Publishes at QoS 1, after everything before it; resolves when the broker has acknowledged it. */
  publish(...message: Parameters<Publish>): Promise<void> {
    return this.#publishing.add(...message);
  }

  /** Stops reading, or goes on; in any case not before the broker has answered CONNECT. */
  gate(closed: boolean): void {
    this.#gated = closed;
    if (this.#client.connected) this.#socket.gate(closed);
  }

  /** Says goodbye, so that no last will is sent; what is not acknowledged comes again. */
  async end(): Promise<void> {
    this.#ending = true;
    this.#reason = 'the bridge is closing';
    this.#socket.gate(false);
    this.#client.end();
    const late = setTimeout(() => this.#socket.destroy(), END_MS);
    await this.closed;
    clearTimeout(late);
  }

  async #open(version: MqttVersion): Promise<void> {
    const slow = Promise.withResolvers<never>();
    const deadline = setInterval(() => {
      // While nothing is read, no answer can come.
      if (!this.#socket.gated)
        slow.reject(new Error(`the broker did not answer within ${CONNECT_MS / 1000} s`));
    }, CONNECT_MS);
    const gone = this.closed.then((reason) => {
      throw this.#error ?? new Error(reason);
    });
    try {
      await Promise.race([this.#subscribed(version), gone, slow.promise]);
    } catch (error) {
      this.#socket.destroy();
      throw error;
    } finally {
      clearInterval(deadline);
    }
  }

  /** With MQTT 5 several bridges share the messages, where the broker can do that. */
  async #subscribed(version: MqttVersion): Promise<void> {
    const { properties } = await new Promise<Connack>((resolve) => this.#client.once('connect', resolve));
    this.#socket.gate(this.#gated);
    if (properties?.receiveMaximum !== undefined) this.#publishing.limit(properties.receiveMaximum);
    const shared = version === 5 && properties?.sharedSubscriptionAvailable !== false;
    const topics = UP_CHANNELS.map((channel) => `${shared ? '$share/skylark/' : ''}devices/+/${channel}`);
    try {
      // Retained messages only with a new subscription: after a reconnection they are known.
      await this.#client.subscribeAsync(topics, { qos: 1, ...(version === 5 ? { rh: 1 } : {}) });
    } catch (error) {
      throw new Error(`the broker refused the subscription to ${topics.join(', ')}: ${messageOf(error)}`);
    }
  }

  #watchEnd(): Promise<string> {
    this.#client.on('error', (error) => {
      this.#error = connectError(error);
      this.#reason = error.message;
      this.#socket.destroy();
    });
    this.#client.on('disconnect', ({ reasonCode }) => {
      this.#reason =
        reasonCode === 142
          ? 'another client has taken over this BRIDGE_ID; each bridge needs its own'
          : `the broker ended the connection: reason code ${reasonCode}`;
    });
    return new Promise((resolve) => {
      this.#client.once('close', () => {
        this.#publishing.close(new Error(this.#reason));
        resolve(this.#reason);
      });
    });
  }
}

/** At least one: zero would mean at once. */
const secondsUntil = (at: number): number => Math.max(1, Math.ceil((at - Date.now()) / 1000));

interface Connack {
  properties?: { receiveMaximum?: number; sharedSubscriptionAvailable?: boolean };
}

function clientOptions(config: Configuration, version: MqttVersion, socket: HeldSocket): IClientOptions {
  return {
    clientId: config.BRIDGE_ID,
    clean: false,
    protocolVersion: version,
    keepalive: KEEPALIVE_S,
    timerVariant: keepaliveTimer(socket),
    connectTimeout: CONNECT_MS,
    reconnectPeriod: 0,
    ...(config.MQTT_USERNAME === undefined ? {} : { username: config.MQTT_USERNAME }),
    ...(config.MQTT_PASSWORD === undefined ? {} : { password: config.MQTT_PASSWORD }),
    ...(version === 5
      ? { properties: { receiveMaximum: config.WINDOW, sessionExpiryInterval: SESSION_S } }
      : {}),
  };
}

/**
 * MQTT.js ends a connection whose PINGRESP does not come. It cannot come while nothing is read, so then only the
 * broker is kept content; and where anything came, the broker is alive.
 */
export function keepaliveTimer(
  socket: HeldSocket,
): NonNullable<Exclude<IClientOptions['timerVariant'], string>> {
  let seen = 0;
  return {
    set: (elapsed, ms) => {
      const timer = setInterval(() => {
        const alive = socket.gated || socket.received !== seen;
        seen = socket.received;
        if (alive) socket.ping();
        else elapsed();
      }, ms);
      // The library knows timers by number only; Node takes either.
      return Number(timer);
    },
    clear: (timer) => clearInterval(timer),
  };
}

/**
 * Whether a message says that its device is there, or gone. That holds when it is said; a broker gives what it retained
 * to every new subscription, and by then it may be the other way round.
 */
function saysPresence(topic: string, payload: Buffer): boolean {
  const channel = parseUpTopic(topic)?.channel;
  if (channel !== 'status') return channel === 'heartbeat';
  try {
    return offlineReport.safeParse(JSON.parse(payload.toString())).success;
  } catch {
    return false;
  }
}

function connectError(error: Error): Error {
  const code = 'code' in error ? error.code : undefined;
  if (typeof code === 'number' && WRONG_VERSION.includes(code)) return new WrongVersion(error.message);
  return error;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
