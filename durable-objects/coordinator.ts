/**
 * What must be single and is small: the fleet's settings (one object, named `settings`), and counted attempts
 * (one object per thing attempted, named `attempts:…`), which must hold when every cache is down.
 */
import { DurableObject } from 'cloudflare:workers';
import { z } from 'zod';
import type { Env } from './env.ts';

/** Settings an operator may change. */
export const settings = z.object({
  /** A device not heard from for this long is offline. */
  offline_after_s: z.int().min(5).max(86_400).default(300),
  /** How long a download link lasts. */
  download_link_s: z.int().min(60).max(86_400).default(3600),
  max_firmware_bytes: z.int().min(1).default(2_147_483_648),
});
export type Settings = z.infer<typeof settings>;

export class Coordinator extends DurableObject<Env> {
  /** The settings with their version, which counts their changes. */
  async readSettings(): Promise<{ version: number; settings: Settings }> {
    const stored = await this.ctx.storage.get(['version', 'settings']);
    return {
      version: z.int().default(0).parse(stored.get('version')),
      settings: settings.parse(stored.get('settings') ?? {}),
    };
  }

  /** Changes some settings; `undefined` where they are no longer at `version`. */
  async changeSettings(
    version: number,
    change: Partial<Settings>,
  ): Promise<{ version: number; settings: Settings } | undefined> {
    const current = await this.readSettings();
    if (current.version !== version) return undefined;
    const next = { version: version + 1, settings: settings.parse({ ...current.settings, ...change }) };
    await this.ctx.storage.put(next);
    return next;
  }

  /**
   * Counts an attempt. False where `limit` were made within the last `window_s` seconds already: such a one is
   * not counted, so that the door opens again by itself.
   */
  async attempt(limit: number, window_s: number): Promise<boolean> {
    const since = Date.now() - window_s * 1000;
    const made = z
      .array(z.number())
      .default([])
      .parse(await this.ctx.storage.get('attempts'));
    const recent = made.filter((at) => at > since);
    if (recent.length >= limit) return false;
    await this.ctx.storage.put('attempts', [...recent, Date.now()]);
    await this.ctx.storage.setAlarm(Date.now() + window_s * 1000);
    return true;
  }

  /** Forgets the attempts: one has succeeded. */
  async reset(): Promise<void> {
    await this.ctx.storage.delete('attempts');
  }

  /** A window is over, so nothing counted in it matters any more. */
  override async alarm(): Promise<void> {
    await this.ctx.storage.delete('attempts');
  }
}

/** The fleet's settings. */
export async function readSettings(env: Env): Promise<Settings> {
  return (await env.COORDINATOR.getByName('settings').readSettings()).settings;
}
