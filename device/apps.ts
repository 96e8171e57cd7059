/** The device's apps: an image and a version each. Replaced whole, without a restart. */
import { closeSync, copyFileSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonFile, writeJsonFile } from './durable-file.ts';

const installed = z.record(z.string(), z.string());

export class Apps {
  readonly #directory: string;

  constructor(stateDirectory: string) {
    this.#directory = join(stateDirectory, 'apps');
  }

  /** What is installed, by name; as heartbeats tell it. */
  get versions(): Record<string, string> {
    return readJsonFile(this.#file, installed) ?? {};
  }

  /** Where an app's image lies. */
  imageFile(name: string): string {
    return join(this.#directory, `${name}.bin`);
  }

  /** Installs an image that was verified. After a power cut it is done again, or was done. */
  install(name: string, version: string, image: string): void {
    if (!existsSync(this.#directory)) mkdirSync(this.#directory, { recursive: true });
    const beside = `${this.imageFile(name)}.new`;
    copyFileSync(image, beside);
    const descriptor = openSync(beside, 'r+');
    fsyncSync(descriptor);
    closeSync(descriptor);
    renameSync(beside, this.imageFile(name));
    writeJsonFile(this.#file, { ...this.versions, [name]: version });
  }

  get #file(): string {
    return join(this.#directory, 'apps.json');
  }
}
