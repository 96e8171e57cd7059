/** The device's settings, and which commands it has done already. */
import { join } from 'node:path';
import { z } from 'zod';
import { readJsonFile, writeJsonFile } from './durable-file.ts';

const REMEMBERED = 100;

const settingsFile = z.record(z.string(), z.string());
const commandsFile = z.array(z.string());

export interface SettingChange {
  setting: string;
  old_value: string | null;
  new_value: string;
}

export class Settings {
  readonly #file: string;
  readonly #commandsFile: string;

  constructor(stateDirectory: string, factory: Record<string, string>) {
    this.#file = join(stateDirectory, 'settings.json');
    this.#commandsFile = join(stateDirectory, 'commands.json');
    if (readJsonFile(this.#file, settingsFile) === undefined) writeJsonFile(this.#file, factory);
  }

  get all(): Record<string, string> {
    return readJsonFile(this.#file, settingsFile) ?? {};
  }

  /** Applies values; answers each one, changed or not, since each is to be confirmed. */
  apply(values: Record<string, string>): SettingChange[] {
    const before = this.all;
    writeJsonFile(this.#file, { ...before, ...values });
    return Object.entries(values).map(([setting, new_value]) => ({
      setting,
      old_value: before[setting] ?? null,
      new_value,
    }));
  }

  /** Whether a command was done before; over restarts. */
  knowsCommand(commandId: string): boolean {
    return this.#done.includes(commandId);
  }

  rememberCommand(commandId: string): void {
    writeJsonFile(this.#commandsFile, [...this.#done, commandId].slice(-REMEMBERED));
  }

  get #done(): string[] {
    return readJsonFile(this.#commandsFile, commandsFile) ?? [];
  }
}
