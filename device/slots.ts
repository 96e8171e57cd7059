/**
 * Two slots, A and B: one runs, the other takes the next version. What boots is one small file, replaced whole. A
 * new slot gets one try; unless it is committed, the next boot is the old slot again.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonFile, writeDurably, writeJsonFile } from './durable-file.ts';

const slotName = z.enum(['a', 'b']);
export type SlotName = z.infer<typeof slotName>;

const bootState = z.object({
  /** The slot that is known to work. */
  active: slotName,
  /** Whether the other slot is to be tried, and whether its one try has begun. */
  trial: z.enum(['none', 'wanted', 'begun']),
  /** Whether the last trial ended without being committed. */
  fell_back: z.boolean().default(false),
});
export type BootState = z.infer<typeof bootState>;

/** What the bootloader does with this state: which slot it starts, and what it writes before that. Pure. */
export function nextBoot(state: BootState): { slot: SlotName; write: BootState } {
  if (state.trial === 'wanted') return { slot: other(state.active), write: { ...state, trial: 'begun' } };
  // A trial that has begun and was not committed has failed.
  const fell_back = state.fell_back || state.trial === 'begun';
  return { slot: state.active, write: { ...state, trial: 'none', fell_back } };
}

export const other = (slot: SlotName): SlotName => (slot === 'a' ? 'b' : 'a');

export class Slots {
  readonly #directory: string;

  /** Opens the slots; on the very first start slot A holds the factory image. */
  constructor(stateDirectory: string, factoryVersion: string) {
    this.#directory = join(stateDirectory, 'slots');
    for (const slot of slotName.options) mkdirSync(join(this.#directory, slot), { recursive: true });
    if (this.version('a') === undefined && this.version('b') === undefined) {
      writeDurably(this.#versionFile('a'), factoryVersion);
    }
    if (this.#read() === undefined)
      this.#write({ active: this.version('a') === undefined ? 'b' : 'a', trial: 'none', fell_back: false });
  }

  get state(): BootState {
    return this.#read() ?? { active: 'a', trial: 'none', fell_back: false };
  }

  /** What runs in a slot. */
  version(slot: SlotName): string | undefined {
    const file = this.#versionFile(slot);
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
  }

  /** Where a slot's image lies. */
  imageFile(slot: SlotName): string {
    return join(this.#directory, slot, 'image.bin');
  }

  /** Boots as the bootloader would; answers the slot that runs now. */
  boot(): SlotName {
    const { slot, write } = nextBoot(this.state);
    this.#write(write);
    return slot;
  }

  /** The image in a slot is whole: it may be tried under this version. */
  markInstalled(slot: SlotName, version: string): void {
    writeDurably(this.#versionFile(slot), version);
    this.#write({ active: other(slot), trial: 'wanted', fell_back: false });
  }

  /** The slot that is being tried works: it is the one to boot from now on. */
  commit(slot: SlotName): void {
    this.#write({ active: slot, trial: 'none', fell_back: false });
  }

  /** The slot that was to be tried, or is being tried, is given up. */
  abandon(): void {
    const { state } = this;
    this.#write({ ...state, trial: 'none', fell_back: state.trial === 'begun' });
  }

  #read(): BootState | undefined {
    return readJsonFile(join(this.#directory, 'boot.json'), bootState);
  }

  #write(state: BootState): void {
    writeJsonFile(join(this.#directory, 'boot.json'), state);
  }

  #versionFile(slot: SlotName): string {
    return join(this.#directory, slot, 'version');
  }
}
