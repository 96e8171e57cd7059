/**
 * A device that numbers what it says and remembers what the broker has acknowledged. It behaves as an agent does:
 * what is not acknowledged, or heard by nobody, is said again, and after each reconnection it reports how it stands.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { connect, type MqttClient } from 'mqtt';
import { command } from '../../protocol/messages.ts';
import { commandTopic, type UpChannel, upTopic } from '../../protocol/topics.ts';
import type { Certificate } from './certificates.ts';
import { type Fate, Update } from './update.ts';

export interface Said {
  channel: 'notify' | 'status';
  /** Counts what the device said on this channel. */
  n: number;
  /** Of which it is the newest until the next one with the same subject. */
  subject: string;
  payload: string;
  /** Unix milliseconds. */
  acknowledgedAt: number | undefined;
}

export interface DeviceOptions {
  url: string;
  version: 4 | 5;
  serial: string;
  model: string;
  certificate: Certificate;
  fate: Fate;
}

const PERIOD_MS = 1000;
const HEARTBEAT_MS = 3000;
const SETTINGS = 3;
/** "No matching subscribers" (MQTT 5 §3.4.2.1): acknowledged, but nobody has it. */
const NOBODY_LISTENS = 16;
const AGAIN_MS = 200;

/** A message the client gave up. */
const LOST = 'lost';

export class NumberedDevice {
  readonly serial: string;
  readonly said: Said[] = [];
  /** The ids of the commands it got. */
  readonly heard = new Set<string>();
  /** Since when it listened for them, connection by connection, Unix milliseconds. */
  readonly listening: number[] = [];
  readonly update: Update;
  firmware = 'v1.0.0';
  readonly #options: DeviceOptions;
  readonly #client: MqttClient;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #speaking = new Map<Said['channel'], Promise<void>>();
  /** Packets the broker had no subscriber for, and said so. */
  readonly #unheard = new Set<number | undefined>();
  /** When it last said something on a channel: no two things were said in the same second. */
  readonly #clock = { notify: 0, status: 0 };
  #beating = false;

  constructor(options: DeviceOptions) {
    this.serial = options.serial;
    this.#options = options;
    this.update = new Update(options.fate);
    this.#client = this.#connect();
  }

  /** Resolves when the broker has acknowledged the first heartbeat. */
  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#client.once('connect', () => resolve()));
    await this.#heartbeat();
  }

  /** Says the next number of its notifications. */
  notify(): void {
    const n = this.#next('notify');
    const setting_changed = `setting-${n % SETTINGS}`;
    this.#say('notify', setting_changed, n, { setting_changed, new_value: `${n}` });
  }

  /** From now on it says something every second, at its own moment of it (0 to 1). */
  speak(moment: number): void {
    const begin = () => {
      this.#timers.splice(
        0,
        1,
        setInterval(() => this.notify(), PERIOD_MS),
        setInterval(() => this.#proceed(), PERIOD_MS),
        setInterval(() => this.#beat(), HEARTBEAT_MS),
      );
    };
    this.#timers.push(setTimeout(begin, moment * PERIOD_MS));
  }

  /** Says one last thing and no more; resolves when all of it is acknowledged. Its heart goes on. */
  async fallSilent(): Promise<void> {
    for (const timer of this.#timers.splice(0, 2)) clearInterval(timer);
    for (let n = 0; n < SETTINGS; n += 1) this.notify();
    await Promise.all(this.#speaking.values());
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#client.endAsync(true);
  }

  /** The newest it said of each subject. */
  get newest(): Said[] {
    return [...new Map(this.said.map((said) => [said.subject, said])).values()];
  }

  #connect(): MqttClient {
    const { url, version, serial, certificate } = this.#options;
    const client = connect(url, {
      ...certificate,
      clientId: serial,
      clean: false,
      protocolVersion: version,
      ...(version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
      reconnectPeriod: 200 + (Number.parseInt(serial.slice(-3), 10) % 10) * 50,
      connectTimeout: 5000,
      will: { topic: upTopic(serial, 'status'), payload: Buffer.from('{"status":"offline"}'), qos: 1 },
    });
    client.on('connect', () => this.#report());
    client.on('message', (_topic, payload) => this.#take(payload));
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'puback' && packet.reasonCode === NOBODY_LISTENS)
        this.#unheard.add(packet.messageId);
    });
    // A broken connection is tried again for ever.
    client.on('error', () => undefined);
    return client;
  }

  /** What an agent does on each connection: a broker that was killed may have forgotten what it acknowledged. */
  #report(): void {
    this.#client.subscribe(commandTopic(this.serial), { qos: 1 }, (error) => {
      if (!error) this.listening.push(Date.now());
    });
    for (const { channel, payload, acknowledgedAt } of this.newest) {
      if (acknowledgedAt !== undefined) this.#deliver(this.#topic(channel), payload).catch(() => undefined);
    }
    this.#beat();
  }

  #take(payload: Buffer): void {
    const said = command.parse(JSON.parse(payload.toString()));
    this.heard.add(said.command_id);
    if (said.command === 'ota_update') this.update.begin(said);
  }

  /** The next step of its update, told as a numbered status. */
  #proceed(): void {
    const step = this.update.next();
    if (step === undefined) return;
    if (step === 'restarted') {
      this.firmware = this.update.version;
      this.#beat();
      return;
    }
    const n = this.#next('status');
    this.#say('status', 'status', n, { ...step, detail: `${n}` });
  }

  #next(channel: Said['channel']): number {
    return (this.said.findLast((said) => said.channel === channel)?.n ?? 0) + 1;
  }

  /** Messages of one channel go one after the other, each when the one before it is acknowledged. */
  #say(channel: Said['channel'], subject: string, n: number, message: object): void {
    const timestamp = Math.max(this.#clock[channel] + 1, Math.floor(Date.now() / 1000));
    this.#clock[channel] = timestamp;
    const payload = JSON.stringify({ ...message, timestamp });
    const said: Said = { channel, subject, n, payload, acknowledgedAt: undefined };
    this.said.push(said);
    const before = this.#speaking.get(channel) ?? Promise.resolve();
    this.#speaking.set(
      channel,
      before.then(async () => {
        await this.#deliver(this.#topic(channel), payload);
        said.acknowledgedAt = Date.now();
      }),
    );
  }

  /** Resolves when the broker has acknowledged it and somebody was there to hear it. */
  async #deliver(topic: string, payload: string): Promise<void> {
    for (;;) {
      const sent = await this.#client
        .publishAsync(topic, payload, { qos: 1 })
        .catch((error: Error): typeof LOST => {
          // The broker went again just as the client was sending what had waited for it.
          if (error.message !== 'Connection closed' || this.#client.disconnecting) throw error;
          return LOST;
        });
      if (sent !== LOST && !this.#unheard.delete(sent?.messageId)) return;
      await wait(AGAIN_MS);
    }
  }

  #beat(): void {
    if (this.#beating || !this.#client.connected) return;
    this.#beating = true;
    // Not acknowledged: the next one says it all.
    this.#heartbeat()
      .catch(() => undefined)
      .finally(() => {
        this.#beating = false;
      });
  }

  async #heartbeat(): Promise<void> {
    const { serial, model } = this.#options;
    const heartbeat = {
      serial_no: serial,
      model,
      current_firmware: this.firmware,
      timestamp: Math.floor(Date.now() / 1000),
    };
    await this.#client.publishAsync(this.#topic('heartbeat'), JSON.stringify(heartbeat), { qos: 1 });
  }

  #topic(channel: UpChannel): string {
    return upTopic(this.serial, channel);
  }
}
