/** One life of a device, from its start to its restart: it speaks, listens, and updates itself. */
import { mkdirSync, readFileSync } from 'node:fs';
import { connect as connectMqtt, type MqttClient } from 'mqtt';
import {
  type Command,
  command as commandSchema,
  type Heartbeat,
  type UpdateReport,
} from '../protocol/messages.ts';
import { commandTopic, upTopic } from '../protocol/topics.ts';
import type { DeviceConfiguration } from './configuration.ts';
import { type LocalPage, serveLocalPage } from './local-page.ts';
import { Outbox } from './outbox.ts';
import { Server } from './server.ts';
import { Settings } from './settings.ts';
import { Slots } from './slots.ts';
import type { UpdateEvent } from './update-record.ts';
import { Updater } from './updater.ts';

/** What differs between a real device and a virtual one. */
export interface Hardware {
  bootCheck(version: string): Promise<boolean>;
  /** Restarts the device: this life is over. */
  reboot(): void;
  disturb(bytes: number, total: number): AbortSignal | undefined;
}

export type AgentEvent = UpdateEvent | 'connected' | 'settings_changed';

export interface AgentOptions {
  config: DeviceConfiguration;
  hardware: Hardware;
  event(event: AgentEvent, detail?: Record<string, unknown>): void;
  /** Gives up when there is no connection by then. A real device never gives up: networks come back. */
  connect_within_ms?: number;
}

/** Of a CONNACK, MQTT 3.1.1. */
const NOT_AUTHORIZED = 5;
/** Every so many heartbeats it asks for an update itself: a broker may have lost the offer. */
const ASK_EVERY = 6;

export class Agent {
  readonly #config: DeviceConfiguration;
  readonly #event: AgentOptions['event'];
  readonly #outbox: Outbox;
  readonly #settings: Settings;
  readonly #server: Server;
  readonly #updater: Updater;
  readonly #hardware: Hardware;
  readonly #connectWithinMs: number | undefined;
  readonly #ending = new AbortController();
  #client: MqttClient | undefined;
  #page: LocalPage | undefined;
  #heart: NodeJS.Timeout | undefined;
  #beats = 0;
  #lastReport: UpdateReport | undefined;

  constructor({ config, hardware, event, connect_within_ms }: AgentOptions) {
    mkdirSync(config.state_dir, { recursive: true, mode: 0o700 });
    this.#config = config;
    this.#hardware = hardware;
    this.#event = event;
    this.#connectWithinMs = connect_within_ms;
    this.#outbox = new Outbox(config.state_dir);
    this.#settings = new Settings(config.state_dir, { poll_interval: `${config.heartbeat_interval_s}s` });
    this.#server = new Server(config);
    const slots = new Slots(config.state_dir, config.version);
    this.#updater = new Updater({
      config,
      slots,
      server: this.#server,
      running: slots.boot(),
      signal: this.#ending.signal,
      report: (report, campaignId) => this.#report(report, campaignId),
      event: (happened, detail) => {
        event(happened, detail);
        // What was installed counts when a heartbeat shows it. After a restart the first one does.
        if (happened === 'committed') this.#beat().catch(() => undefined);
      },
      bootCheck: (version) => hardware.bootCheck(version),
      reboot: () => hardware.reboot(),
      disturb: (bytes, total) => hardware.disturb(bytes, total),
    });
  }

  get version(): string {
    return this.#updater.version;
  }

  /** Connects and begins; resolves when the broker has the first heartbeat. */
  async start(): Promise<void> {
    if ((await this.#updater.resume()) === 'restarting') return;
    if (this.#config.web !== false) this.#page = await this.#serve(this.#config.web);
    const client = this.#connect();
    this.#client = client;
    await new Promise<void>((resolve, reject) => {
      const within = this.#connectWithinMs;
      const late =
        within === undefined
          ? undefined
          : setTimeout(
              () =>
                reject(new Error(`no connection to ${this.#config.mqtt_broker} within ${within / 1000} s`)),
              within,
            );
      client.on('error', (error) => {
        const isRefused = 'code' in error && error.code === NOT_AUTHORIZED;
        if (late !== undefined && isRefused)
          reject(new Error('the broker lets this certificate in no longer'));
      });
      client.once('connect', () => {
        clearTimeout(late);
        resolve();
      });
    });
    await this.#beat();
    this.#keepBeating();
  }

  /** Ends this life, as a power cut would: nothing is finished first. */
  async stop(): Promise<void> {
    this.#ending.abort();
    clearInterval(this.#heart);
    await this.#page?.close();
    // Without a goodbye the broker publishes the last will, as it should.
    await this.#client?.endAsync(true);
    await this.#updater.idle();
    await this.#server.close();
  }

  /** Changes settings, from the local page or by command, and tells. */
  changeSettings(values: Record<string, string>): void {
    for (const { setting, old_value, new_value } of this.#settings.apply(values)) {
      this.#send('notify', { setting_changed: setting, old_value, new_value, timestamp: nowS() });
    }
    if ('poll_interval' in values) this.#keepBeating();
    this.#event('settings_changed', { settings: Object.keys(values) });
  }

  /** Heartbeats as often as the setting `poll_interval` says (`300s`), else as the configuration does. */
  #keepBeating(): void {
    const said = /^(\d{1,6})s$/.exec(this.#settings.all.poll_interval ?? '')?.[1];
    const seconds = Math.max(1, said === undefined ? this.#config.heartbeat_interval_s : Number(said));
    clearInterval(this.#heart);
    if (this.#ending.signal.aborted) return;
    this.#heart = setInterval(() => {
      // Not connected right now: the next one says it all.
      this.#beat().catch(() => undefined);
    }, seconds * 1000);
  }

  #connect(): MqttClient {
    const { serial_no, mqtt_broker, ca_file, cert_file, key_file } = this.#config;
    const client = connectMqtt(mqtt_broker, {
      clientId: serial_no,
      clean: false,
      protocolVersion: 4,
      keepalive: 30,
      reconnectPeriod: 500 + Math.random() * 1500,
      ca: readFileSync(ca_file),
      cert: readFileSync(cert_file),
      key: readFileSync(key_file),
      will: {
        topic: upTopic(serial_no, 'status'),
        payload: Buffer.from('{"status":"offline"}'),
        qos: 1,
        retain: false,
      },
      // Ours survives a restart; the client's would send everything twice besides.
      queueQoSZero: false,
    });
    client.on('connect', () => {
      this.#event('connected', { version: this.version });
      client.subscribe(commandTopic(serial_no), { qos: 1 });
      for (const { id, topic, payload } of this.#outbox.waiting) this.#publish(id, topic, payload);
      // A broker that was killed may have lost what it had acknowledged: how things stand is said again.
      if (this.#beats > 0) this.#sayAgain();
    });
    client.on('message', (_topic, payload) => this.#take(payload));
    // A broken connection is tried again for ever; the log says why.
    client.on('error', (error) => this.#log(`MQTT: ${error.message}`));
    return client;
  }

  #take(payload: Buffer): void {
    const said = commandSchema.safeParse(readJson(payload));
    if (!said.success) {
      this.#log('a command that is none was ignored');
      return;
    }
    const { expires_at } = said.data;
    if (expires_at !== undefined && expires_at <= nowS()) {
      this.#log(`the command ${said.data.command_id} has expired`);
      return;
    }
    this.#perform(said.data);
  }

  #perform(command: Command): void {
    switch (command.command) {
      case 'ota_update':
        this.#updater.offer(command);
        return;
      case 'config_update':
        if (this.#settings.knowsCommand(command.command_id)) return;
        this.changeSettings(command.config);
        // Only now: after a power cut in between it is done again, and that changes nothing more.
        this.#settings.rememberCommand(command.command_id);
        return;
      case 'reboot':
        if (this.#settings.knowsCommand(command.command_id)) return;
        this.#settings.rememberCommand(command.command_id);
        this.#hardware.reboot();
        return;
    }
  }

  async #beat(): Promise<void> {
    const { serial_no, model, group } = this.#config;
    const { apps } = this.#updater;
    const heartbeat: Heartbeat = {
      serial_no,
      model,
      current_firmware: this.version,
      timestamp: nowS(),
      ...(Object.keys(apps).length === 0 ? {} : { apps }),
      ...(group === undefined ? {} : { group }),
    };
    await this.#client?.publishAsync(upTopic(serial_no, 'heartbeat'), JSON.stringify(heartbeat), { qos: 1 });
    this.#beats += 1;
    if (this.#beats % ASK_EVERY === 0) await this.#ask();
  }

  async #ask(): Promise<void> {
    const { server_url: origin } = this.#config;
    if (origin === undefined || !this.#updater.wantsOffer) return;
    try {
      const offered = await this.#server.check(origin, this.version);
      if (offered !== undefined) this.#updater.offer(offered);
    } catch (error) {
      this.#log(String(error));
    }
  }

  #report(report: Omit<UpdateReport, 'campaign_id' | 'timestamp'>, campaignId: string): void {
    this.#lastReport = { campaign_id: campaignId, ...report, timestamp: nowS() };
    this.#send('status', this.#lastReport);
  }

  /** After a reconnection: the same report once more changes nothing where it had arrived. */
  #sayAgain(): void {
    this.#beat().catch(() => undefined);
    if (this.#lastReport !== undefined) this.#send('status', this.#lastReport);
  }

  #send(channel: 'status' | 'notify', message: object): void {
    const { id, topic, payload } = this.#outbox.add(
      upTopic(this.#config.serial_no, channel),
      JSON.stringify(message),
    );
    if (this.#client?.connected === true) this.#publish(id, topic, payload);
  }

  #publish(id: number, topic: string, payload: string): void {
    this.#client?.publish(topic, payload, { qos: 1 }, (error) => {
      if (error === undefined || error === null) this.#outbox.remove(id);
    });
  }

  async #serve(web: Exclude<DeviceConfiguration['web'], false>): Promise<LocalPage> {
    return serveLocalPage(web, {
      look: () => ({
        serial_no: this.#config.serial_no,
        model: this.#config.model,
        version: this.version,
        connected: this.#client?.connected === true,
        update: this.#updater.current,
        asked_until: this.#updater.askedUntil,
        kept: this.#updater.kept,
        settings: this.#settings.all,
      }),
      change: (values) => this.changeSettings(values),
      answer: async (said) => (said === 'later' ? this.#updater.postpone() : this.#updater.installNow()),
    });
  }

  #log(msg: string): void {
    const line = { level: 'warn', part: 'device', serial_no: this.#config.serial_no, msg };
    process.stderr.write(`${JSON.stringify(line)}\n`);
  }
}

const nowS = (): number => Math.floor(Date.now() / 1000);

function readJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString());
  } catch {
    return undefined;
  }
}
