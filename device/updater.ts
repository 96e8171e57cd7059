/**
 * One update, step by step; each step is on disk before the next begins, so that a device that loses power at any
 * moment goes on where it was: download, verify, install into the other slot, restart, check, commit or go back.
 */
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type OtaUpdate, otaUpdate, type UpdateReport } from '../protocol/messages.ts';
import { sameVersion } from '../protocol/version.ts';
import { Apps } from './apps.ts';
import type { DeviceConfiguration } from './configuration.ts';
import { download } from './download.ts';
import { readJsonFile, removeFile, writeJsonFile } from './durable-file.ts';
import { UpdateFailure } from './failure.ts';
import { Metadata } from './metadata.ts';
import type { Server } from './server.ts';
import { other, type SlotName, type Slots } from './slots.ts';

const record = z.object({
  command: otaUpdate,
  phase: z.enum(['downloading', 'installing', 'rebooting']),
  from_version: z.string(),
  rollback_floor: z.int().optional(),
});
export type UpdateRecord = z.infer<typeof record>;

/** What tells of an update as it happens. */
export type UpdateEvent =
  | 'download_started'
  | 'download_progress'
  | 'connection_dropped'
  | 'resumed'
  | 'verified'
  | 'installed'
  | 'rebooting'
  | 'committed'
  | 'boot_failed'
  | 'rolled_back'
  | 'failed';

export interface UpdaterHost {
  config: DeviceConfiguration;
  server: Server;
  slots: Slots;
  /** The slot that runs now. */
  running: SlotName;
  report(report: Omit<UpdateReport, 'campaign_id' | 'timestamp'>, campaignId: string): void;
  event(event: UpdateEvent, detail?: Record<string, unknown>): void;
  /** Whether the new version works; asked once, after the restart into it. */
  bootCheck(version: string): Promise<boolean>;
  /** Restarts the device. Nothing after it runs in this life. */
  reboot(): void;
  /** May break a download on purpose; only virtual devices do. */
  disturb(bytes: number, total: number): AbortSignal | undefined;
  signal: AbortSignal;
}

const PROGRESS_STEP = 10;

export class Updater {
  readonly #host: UpdaterHost;
  readonly #file: string;
  readonly #image: string;
  readonly #metadata: Metadata;
  readonly #apps: Apps;
  #busy: Promise<void> | undefined;

  constructor(host: UpdaterHost) {
    this.#host = host;
    this.#file = join(host.config.state_dir, 'update.json');
    this.#image = join(host.config.state_dir, 'download.bin');
    this.#metadata = new Metadata(host.config, host.server);
    this.#apps = new Apps(host.config.state_dir);
  }

  get version(): string {
    return this.#host.slots.version(this.#host.running) ?? this.#host.config.version;
  }

  /** Its apps, by name. */
  get apps(): Record<string, string> {
    return this.#apps.versions;
  }

  /** The update under way, if any. */
  get current(): UpdateRecord | undefined {
    return readJsonFile(this.#file, record);
  }

  /** Takes an offer. The same one again, or one for what runs already, does no work twice. */
  offer(command: OtaUpdate): void {
    const current = this.current;
    if (current !== undefined) {
      // A fresh offer of the same update carries a fresh link.
      if (current.command.campaign_id === command.campaign_id) this.#write({ ...current, command });
      return;
    }
    if (sameVersion(command.version, this.#installed(command) ?? '')) {
      this.#host.report({ status: 'completed', current_firmware: this.version }, command.campaign_id);
      return;
    }
    this.#write({ command, phase: 'downloading', from_version: this.version });
    this.#work();
  }

  /** What is there now of what an offer brings. */
  #installed({ app }: OtaUpdate): string | undefined {
    return app === undefined ? this.version : this.apps[app];
  }

  /** After a start: goes on with what was under way, or settles how the restart went. */
  async resume(): Promise<'ready' | 'restarting'> {
    const current = this.current;
    if (current?.phase === 'rebooting') return this.#settle(current);
    if (current !== undefined) this.#work();
    return 'ready';
  }

  /** Resolves when no update is being worked on. */
  async idle(): Promise<void> {
    await this.#busy;
  }

  #work(): void {
    this.#busy ??= this.#run()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#busy = undefined;
      });
  }

  async #run(): Promise<void> {
    const { slots, running, report, event } = this.#host;
    const begun = this.current;
    if (begun === undefined) return;
    const { campaign_id, version, metadata_url } = begun.command;
    report({ status: 'downloading', progress: 0 }, campaign_id);
    event('download_started', { version });
    await this.#download(begun);
    const released = await this.#metadata.verify(metadata_url, begun.command, this.#image);
    event('verified', { version });
    if (released.kind === 'app') return this.#installApp(begun, released.name);
    const { rollback_floor } = released;
    this.#write({ ...begun, phase: 'installing', rollback_floor });
    report({ status: 'installing' }, campaign_id);
    const slot = other(running);
    copyFileSync(this.#image, slots.imageFile(slot));
    // What was written is what is checked: the slot, not the download.
    await this.#metadata.verify(metadata_url, begun.command, slots.imageFile(slot));
    this.#host.signal.throwIfAborted();
    event('installed', { slot, version });
    this.#write({ ...begun, phase: 'rebooting', rollback_floor });
    slots.markInstalled(slot, version);
    rmSync(this.#image, { force: true });
    report({ status: 'rebooting' }, campaign_id);
    event('rebooting', { version });
    this.#host.reboot();
  }

  /** An app takes effect without a restart. */
  #installApp(begun: UpdateRecord, name: string): void {
    const { report, event } = this.#host;
    const { campaign_id, version } = begun.command;
    this.#write({ ...begun, phase: 'installing' });
    report({ status: 'installing' }, campaign_id);
    this.#apps.install(name, version, this.#image);
    event('installed', { app: name, version });
    rmSync(this.#image, { force: true });
    report({ status: 'completed', current_firmware: this.version }, campaign_id);
    removeFile(this.#file);
    event('committed', { app: name, version });
  }

  async #download(begun: UpdateRecord): Promise<void> {
    const { config, server, signal, report, event } = this.#host;
    const { command } = begun;
    let told = 0;
    let broken: AbortSignal | undefined;
    await download({
      file: this.#image,
      size_bytes: command.size_bytes,
      checksum: command.checksum,
      signal,
      link: async (expired) =>
        expired ? await this.#freshLink() : (this.current?.command.url ?? command.url),
      fetch: async (url, headers, stop) => {
        broken = undefined;
        return server.fetch(url, { headers, signal: stop });
      },
      progress: (bytes) => {
        const percent = Math.floor((bytes / command.size_bytes) * 100);
        event('download_progress', { percent });
        if (percent >= told + PROGRESS_STEP) {
          told = percent - (percent % PROGRESS_STEP);
          report({ status: 'downloading', progress: told }, command.campaign_id);
        }
        broken = this.#host.disturb(bytes, command.size_bytes);
        if (broken !== undefined) {
          event('connection_dropped', { percent });
          throw new Error('the connection was cut');
        }
      },
      resumed: (bytes) =>
        event('resumed', { percent: Math.floor((bytes / command.size_bytes) * 100), model: config.model }),
    });
  }

  /** A link that has expired is replaced by asking for the update again. */
  async #freshLink(): Promise<string> {
    const current = this.current;
    if (current === undefined) throw new UpdateFailure('download_error', 'the update is gone');
    const fresh = await this.#host.server.check(current.command.url, this.version);
    if (fresh?.campaign_id !== current.command.campaign_id) {
      throw new UpdateFailure(
        'download_error',
        'the link has expired, and the update is not offered any more',
      );
    }
    this.#write({ ...current, command: fresh });
    return fresh.url;
  }

  /** The first start after an installation: into the new slot, or back in the old one. */
  async #settle(current: UpdateRecord): Promise<'ready' | 'restarting'> {
    const { slots, running, report, event, bootCheck } = this.#host;
    const { command, from_version } = current;
    if (slots.state.trial === 'wanted') {
      // Power was lost between installing and restarting.
      this.#host.reboot();
      return 'restarting';
    }
    if (sameVersion(this.version, command.version)) {
      if (await bootCheck(command.version)) {
        slots.commit(running);
        if (current.rollback_floor !== undefined) this.#metadata.accept(current.rollback_floor);
        report({ status: 'completed', current_firmware: this.version }, command.campaign_id);
        removeFile(this.#file);
        event('committed', { version: command.version });
        return 'ready';
      }
      event('boot_failed', { version: command.version });
      slots.abandon();
      this.#host.reboot();
      return 'restarting';
    }
    if (!slots.state.fell_back) {
      // Power was lost before the new slot was marked: it has not been tried yet.
      this.#write({ ...current, phase: 'downloading' });
      this.#work();
      return 'ready';
    }
    event('rolled_back', { version: this.version, failed: command.version });
    report(
      {
        status: 'rollback',
        current_firmware: from_version,
        failed_firmware: command.version,
        error: 'boot_failure',
        detail: `${command.version} did not pass its boot check; ${this.version} runs again`,
      },
      command.campaign_id,
    );
    // Only now: a report made twice is harmless, one never made is not.
    removeFile(this.#file);
    return 'ready';
  }

  #fail(error: unknown): void {
    // Losing power is no failure: the next life goes on.
    if (this.#host.signal.aborted) return;
    const current = this.current;
    if (current === undefined) return;
    const code = error instanceof UpdateFailure ? error.code : 'install_error';
    const detail = error instanceof Error ? error.message : String(error);
    this.#host.slots.abandon();
    removeFile(this.#file);
    rmSync(this.#image, { force: true });
    this.#host.event('failed', { error: code, detail });
    this.#host.report(
      { status: 'failed', error: code, detail: detail.slice(0, 2000) },
      current.command.campaign_id,
    );
  }

  #write(next: UpdateRecord): void {
    writeJsonFile(this.#file, next);
  }
}
