/** The fleet's settings: versioned, with who changed what and when. */
import { z } from 'zod';
import { campaignPolicy } from '../../protocol/api.ts';
import type { Env } from '../env.ts';

/** Settings an administrator may change. Each has a default, so that a fleet that set nothing works. */
export const settings = z.object({
  /** A device not heard from for this long is offline. */
  offline_after_s: z.int().min(5).max(86_400).default(300),
  /** A device nobody has registered waits for approval when it registers itself, and takes part in nothing. */
  approve_first: z.boolean().default(false),
  /** How long a command waits for its device before nobody wants it any more. */
  command_expiry_s: z.int().min(10).max(2_592_000).default(86_400),
  /** How long a download link lasts. */
  download_link_s: z.int().min(60).max(86_400).default(3600),
  max_firmware_bytes: z.int().min(1).default(2_147_483_648),
  /** What a campaign has where its maker says nothing. */
  campaign_defaults: campaignPolicy.omit({ start_at: true }).partial().default({}),
  /** Switches for what is being tried out, by name. */
  feature_flags: z.record(z.string().regex(/^[a-z0-9_.-]{1,64}$/), z.boolean()).default({}),
});
export type Settings = z.infer<typeof settings>;

/** The settings and their version, which counts their changes. */
export const versionedSettings = z.object({ version: z.int(), settings });
export type VersionedSettings = z.infer<typeof versionedSettings>;

/** One change of the settings. */
export const settingsChange = z.object({
  version: z.int(),
  at: z.iso.datetime(),
  actor: z.string(),
  /** The settings that were changed, with their new values: a JSON object. */
  change: z.string(),
});
export type SettingsChange = z.infer<typeof settingsChange>;

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
