/** The fleet's settings in the coordinator's storage. */
import { z } from 'zod';
import {
  type Settings,
  type SettingsChange,
  settings,
  settingsChange,
  type VersionedSettings,
} from '../../protocol/settings.ts';
import type { Env } from '../env.ts';

const HISTORY = 200;

export class StoredSettings {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  read(): VersionedSettings {
    return {
      version: z.int().default(0).parse(this.#storage.kv.get('version')),
      settings: settings.parse(this.#storage.kv.get('settings') ?? {}),
    };
  }

  /** Changes some settings; `undefined` where they are no longer at `version`. */
  change(
    version: number,
    change: Partial<Settings>,
    actor: string,
    now: Date,
  ): VersionedSettings | undefined {
    const current = this.read();
    if (current.version !== version) return undefined;
    const next = { version: version + 1, settings: settings.parse({ ...current.settings, ...change }) };
    const entry: SettingsChange = {
      version: next.version,
      at: now.toISOString(),
      actor,
      change: JSON.stringify(change),
    };
    this.#storage.kv.put('version', next.version);
    this.#storage.kv.put('settings', next.settings);
    this.#storage.kv.put('history', [entry, ...this.history()].slice(0, HISTORY));
    return next;
  }

  /** The latest changes, newest first. */
  history(): SettingsChange[] {
    return z.array(settingsChange).parse(this.#storage.kv.get('history') ?? []);
  }
}

/** The fleet's settings. */
export async function readSettings(env: Env): Promise<Settings> {
  return (await env.COORDINATOR.getByName('settings').readSettings()).settings;
}
