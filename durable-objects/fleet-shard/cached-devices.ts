/** A shard's devices as the cache shows them: one change after the other, so that what is written last happened last. */
import { type Cache, cacheKey, openCache } from '../../store/cache.ts';
import { invalidate } from '../coordinator/stale-keys.ts';
import type { Env } from '../env.ts';
import { Turns } from '../turns.ts';

export class CachedDevices {
  readonly #env: Env;
  readonly #cache: Cache;
  readonly #turns = new Turns();

  constructor(env: Env) {
    this.#env = env;
    this.#cache = openCache(env);
  }

  /** Brings what the cache has of these devices up to date, where it has any. */
  amend(changes: readonly (readonly [serialNo: string, changed: object])[]): Promise<void> {
    return this.#turns.take(async () => {
      const keyed = changes.map(([serial, changed]) => [cacheKey.device(serial), changed] as const);
      if (!(await this.#cache.amend(keyed)))
        await invalidate(
          this.#env,
          keyed.map(([key]) => key),
        );
    });
  }

  /** What the cache has of these devices holds no longer. */
  forget(serialNos: readonly string[]): Promise<void> {
    return this.#turns.take(() =>
      invalidate(
        this.#env,
        serialNos.map((serial) => cacheKey.device(serial)),
      ),
    );
  }
}
