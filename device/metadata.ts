/**
 * Whether an image is what the vendor released, for this hardware, and not older than allowed: TUF 1.0, by the
 * unmodified client of its authors. The trusted files are changed only when a whole refresh has succeeded.
 */
import { cpSync, createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Fetcher, type TargetFile, Updater } from 'tuf-js';
import { DownloadHTTPError } from 'tuf-js/dist/error.js';
import { z } from 'zod';
import { appName } from '../protocol/identifiers.ts';
import { UNNAMED_APP } from '../protocol/messages.ts';
import { targetCustom } from '../protocol/tuf.ts';
import type { DeviceConfiguration } from './configuration.ts';
import { readJsonFile, writeDurably, writeJsonFile } from './durable-file.ts';
import { UpdateFailure } from './failure.ts';
import type { Server } from './server.ts';

/** What the signed metadata says an image is. */
export interface Released {
  kind: 'firmware' | 'app';
  /** Of an app. */
  name: string;
  /** Pass it to {@link Metadata.accept} once the image works. */
  rollback_floor: number;
}

const floorFile = z.object({ releaseCounter: z.int() });

/** Verifies an image against the update metadata. Throws {@link UpdateFailure}. */
export class Metadata {
  readonly #config: DeviceConfiguration;
  readonly #server: Server;
  readonly #trusted: string;

  constructor(config: DeviceConfiguration, server: Server) {
    this.#config = config;
    this.#server = server;
    this.#trusted = join(config.state_dir, 'metadata');
  }

  /**
   * Answers what the image was released as. Whoever made the offer could have said anything: hardware, version and
   * kind are those that were signed.
   */
  async verify(
    metadataUrl: string,
    offered: { target: string; version: string },
    imageFile: string,
  ): Promise<Released> {
    const target = await this.#target(metadataUrl, offered.target);
    try {
      await target.verify(createReadStream(imageFile));
    } catch (error) {
      throw new UpdateFailure('signature_invalid', `the image is not the released one: ${String(error)}`);
    }
    const custom = targetCustom.safeParse(target.custom);
    if (!custom.success)
      throw new UpdateFailure('signature_invalid', 'the release says nothing of its hardware');
    const { hw, version, kind, name = UNNAMED_APP, releaseCounter, rollbackFloor } = custom.data;
    if (!hw.includes(this.#config.model)) {
      throw new UpdateFailure(
        'wrong_hardware',
        `released for ${hw.join(', ')}, and this is a ${this.#config.model}`,
      );
    }
    if (version !== offered.version) {
      throw new UpdateFailure('signature_invalid', `offered as ${offered.version}, released as ${version}`);
    }
    // Apps are released by the same role, but the floor is about what boots.
    if (kind === 'app') return { kind, name: appName.parse(name), rollback_floor: 0 };
    if (releaseCounter < this.#floor) {
      throw new UpdateFailure('downgrade_refused', `release ${releaseCounter} is older than ${this.#floor}`);
    }
    return { kind: 'firmware', name, rollback_floor: rollbackFloor };
  }

  /** From now on nothing released before this is installed. */
  accept(floor: number): void {
    if (floor > this.#floor) writeJsonFile(this.#floorFile, { releaseCounter: floor });
  }

  async #target(metadataUrl: string, path: string): Promise<TargetFile> {
    const staging = `${this.#trusted}.next`;
    rmSync(staging, { recursive: true, force: true });
    try {
      await this.#stage(staging, metadataUrl);
      const updater = new Updater({
        metadataDir: staging,
        metadataBaseUrl: this.#server.address(metadataUrl),
        fetcher: fetcherOf(this.#server),
      });
      await updater.refresh();
      const target = await updater.getTargetInfo(path);
      if (target === undefined)
        throw new UpdateFailure('signature_invalid', `nothing is released as ${path}`);
      this.#keep(staging);
      return target;
    } catch (error) {
      if (error instanceof UpdateFailure) throw error;
      const text = error instanceof Error ? error.message : String(error);
      const code = /expired/i.test(text) ? 'stale_metadata' : 'signature_invalid';
      throw new UpdateFailure(code, `the update metadata cannot be trusted: ${text}`);
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
  }

  /** What is trusted so far; where that is nothing or damaged, the root the device was made with. */
  async #stage(staging: string, metadataUrl: string): Promise<void> {
    mkdirSync(this.#trusted, { recursive: true });
    if (isJson(join(this.#trusted, 'root.json'))) {
      cpSync(this.#trusted, staging, { recursive: true });
      return;
    }
    mkdirSync(staging, { recursive: true });
    writeDurably(join(staging, 'root.json'), await this.#firstRoot(metadataUrl));
  }

  async #firstRoot(metadataUrl: string): Promise<Uint8Array> {
    const { tuf_root_file: file } = this.#config;
    if (file !== undefined) return readFileSync(file);
    const response = await this.#server.fetch(new URL('1.root.json', metadataUrl).href);
    if (!response.ok) throw new Error(`no root metadata: answered ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  #keep(staging: string): void {
    for (const name of readdirSync(staging)) {
      writeDurably(join(this.#trusted, name), readFileSync(join(staging, name)));
    }
  }

  get #floorFile(): string {
    return join(this.#config.state_dir, 'floor.json');
  }

  get #floor(): number {
    return readJsonFile(this.#floorFile, floorFile)?.releaseCounter ?? 0;
  }
}

/** The client's own fetcher knows neither our CA nor limits in memory. */
function fetcherOf(server: Server): Fetcher {
  const downloadBytes = async (url: string, maxLength: number): Promise<Buffer> => {
    const response = await server.fetch(url);
    if (!response.ok) {
      await response.body?.cancel();
      throw new DownloadHTTPError(`${url} was answered ${response.status}`, response.status);
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body ?? []) {
      length += chunk.byteLength;
      if (length > maxLength) throw new Error(`${url} is longer than ${maxLength} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  };
  return {
    downloadBytes,
    downloadFile: () => Promise.reject(new Error('images are downloaded by the updater')),
  };
}

function isJson(file: string): boolean {
  if (!existsSync(file)) return false;
  try {
    JSON.parse(readFileSync(file, 'utf8'));
    return true;
  } catch {
    return false;
  }
}
