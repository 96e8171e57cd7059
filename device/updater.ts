/**
 * One update, step by step; each step is on disk before the next begins, so that a device that loses power at any
 * moment goes on where it was: download, verify, install into the other slot, restart, check, commit or go back.
 */
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { OtaUpdate } from '../protocol/messages.ts';
import { sameVersion } from '../protocol/version.ts';
import { Apps } from './apps.ts';
import { download } from './download.ts';
import { readJsonFile, removeFile, writeJsonFile } from './durable-file.ts';
import { UpdateFailure } from './failure.ts';
import { Kept } from './kept.ts';
import { Metadata } from './metadata.ts';
import { Question } from './question.ts';
import { other } from './slots.ts';
import { mayGoOn, type UpdateRecord, type UpdaterHost, updateRecord } from './update-record.ts';

const PROGRESS_STEP = 10;

export class Updater {
  readonly #host: UpdaterHost;
  readonly #file: string;
  readonly #image: string;
  readonly #metadata: Metadata;
  readonly #apps: Apps;
  readonly #kept: Kept;
  readonly #question = new Question();
  #busy: Promise<void> | undefined;

  constructor(host: UpdaterHost) {
    this.#host = host;
    this.#file = join(host.config.state_dir, 'update.json');
    this.#image = join(host.config.state_dir, 'download.bin');
    this.#metadata = new Metadata(host.config, host.server);
    this.#apps = new Apps(host.config.state_dir);
    this.#kept = new Kept(host.config.state_dir);
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
    return readJsonFile(this.#file, updateRecord);
  }

  /** What was downloaded and verified, and waits to be installed. */
  get kept(): OtaUpdate | undefined {
    return this.#kept.update;
  }

  /** When what is ready is installed unless somebody postpones it, Unix milliseconds; `undefined` where nothing is. */
  get askedUntil(): number | undefined {
    return this.#question.at;
  }

  /** Whether it is to ask for an update: it has none, or one that may go on. */
  get wantsOffer(): boolean {
    const current = this.current;
    return current === undefined || (current.phase === 'postponed' && mayGoOn(current));
  }

  /** Whoever stands beside the device wants it later. Nothing happens where nothing is asked. */
  postpone(): void {
    this.#question.answer('later');
  }

  /** Installs what is ready, was postponed, or is kept. One that was postponed needs Skylark's word, too. */
  async installNow(): Promise<void> {
    if (this.#question.answer('now')) return;
    const current = this.current;
    if (current?.phase === 'postponed') {
      this.#write({ ...current, agreed: true });
      const offered = await this.#host.server.check(current.command.url, this.version);
      if (offered !== undefined) this.offer(offered);
      return;
    }
    const { kept } = this;
    if (current !== undefined || kept === undefined) return;
    const { kind: _, ...command } = kept;
    this.#begin(command);
  }

  /** Takes an offer. The same one again, or one for what runs already, does no work twice. */
  offer(command: OtaUpdate): void {
    const current = this.current;
    if (current?.phase === 'postponed' && current.command.campaign_id === command.campaign_id) {
      if (mayGoOn(current)) this.#begin(command, current.agreed);
      else this.#postpone({ ...current, command });
      return;
    }
    // What was postponed gives way to something newer.
    if (current !== undefined && current.phase !== 'postponed') {
      // A fresh offer of the same update carries a fresh link.
      if (current.command.campaign_id === command.campaign_id) this.#write({ ...current, command });
      return;
    }
    if (sameVersion(command.version, this.#installed(command) ?? '')) {
      this.#host.report({ status: 'completed', current_firmware: this.version }, command.campaign_id);
      return;
    }
    if (command.kind === 'download_only' && this.kept?.checksum === command.checksum) {
      this.#reportKept(command);
      return;
    }
    if (current !== undefined) rmSync(this.#image, { force: true });
    this.#begin(command);
  }

  #begin(command: OtaUpdate, agreed?: boolean): void {
    this.#kept.giveFor(command, this.#image);
    const said = agreed === undefined ? {} : { agreed };
    this.#write({ command, phase: 'downloading', from_version: this.version, ...said });
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
    if (current !== undefined && current.phase !== 'postponed') this.#work();
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
    if (begun.command.kind === 'download_only') return this.#keep(begun.command);
    if (!(await this.#mayInstall(begun))) return;
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

  #keep(command: OtaUpdate): void {
    this.#kept.keep(command, this.#image);
    this.#reportKept(command);
    removeFile(this.#file);
    this.#host.event('kept', { version: command.version });
  }

  #reportKept({ campaign_id }: OtaUpdate): void {
    const detail = 'downloaded and verified; kept until it is to be installed';
    this.#host.report({ status: 'completed', current_firmware: this.version, detail }, campaign_id);
  }

  /** Asks whoever stands beside the device, where the update may be postponed. */
  async #mayInstall(begun: UpdateRecord): Promise<boolean> {
    const { config, signal } = this.#host;
    const { kind, install_by = Number.POSITIVE_INFINITY } = begun.command;
    // Without a page there is nobody to ask.
    if (kind !== 'soft' || begun.agreed === true || config.web === false) return true;
    const now = Date.now();
    const said = await this.#question.ask(Math.min(now + config.ask_s * 1000, install_by * 1000), signal);
    if (said === 'now') return true;
    const until = Math.min(Math.ceil(Date.now() / 1000) + config.postpone_s, install_by);
    this.#postpone({ ...begun, phase: 'postponed', until });
    return false;
  }

  #postpone(postponed: UpdateRecord): void {
    const { until } = postponed;
    this.#write(postponed);
    this.#host.report(
      {
        status: 'deferred',
        detail: "the device's user postponed it",
        ...(until === undefined ? {} : { until }),
      },
      postponed.command.campaign_id,
    );
    this.#host.event('postponed', { version: postponed.command.version, until });
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
