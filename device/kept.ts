/** A verified download that waits to be installed: at the word of whoever stands beside the device, or of a later offer. */
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { type OtaUpdate, otaUpdate } from '../protocol/messages.ts';
import { readJsonFile, removeFile, writeJsonFile } from './durable-file.ts';

export class Kept {
  readonly #file: string;
  readonly #image: string;

  constructor(stateDirectory: string) {
    this.#file = join(stateDirectory, 'kept.json');
    this.#image = join(stateDirectory, 'kept.bin');
  }

  /** What it was offered as; `undefined` where nothing is kept. */
  get update(): OtaUpdate | undefined {
    return existsSync(this.#image) ? readJsonFile(this.#file, otaUpdate) : undefined;
  }

  /** Keeps a verified image instead of the one before. */
  keep(update: OtaUpdate, image: string): void {
    removeFile(this.#file);
    renameSync(image, this.#image);
    writeJsonFile(this.#file, update);
  }

  /** Hands the image out where it is what is offered: it need not be downloaded again. */
  giveFor({ checksum }: OtaUpdate, image: string): void {
    if (this.update?.checksum !== checksum) return;
    renameSync(this.#image, image);
    removeFile(this.#file);
  }
}
