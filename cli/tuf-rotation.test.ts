import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { latestTargets } from './tuf-files.ts';
import { initRepository, openSigningKey } from './tuf-keys.ts';
import { delegateModel, rotateRelease } from './tuf-rotation.ts';
import type { RotationOptions } from './tuf-workshop.ts';

describe('a new release key', () => {
  let directory: string;
  let options: RotationOptions;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-rotation-'));
    options = { directory, besides: [], published: async () => undefined };
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const keysOf = () =>
    Object.fromEntries(
      (latestTargets(directory)?.signed.delegations?.roles ?? []).map(({ name, keyids }) => [name, keyids]),
    );
  const idOf = async (file = '') => (await openSigningKey(readFileSync(file, 'utf8'))).id;

  it('is every role’s that had the old one, also where no role speaks for all models', async () => {
    await initRepository(directory, { models: ['TX-1', 'TX-2'] });
    const { keyFile: own } = await delegateModel(options, 'TX-3');
    const { keyFile } = await rotateRelease(options, 'release');
    const [fresh, other] = [[await idOf(keyFile)], [await idOf(own)]];
    expect(keysOf()).toEqual({ 'TX-1': fresh, 'TX-2': fresh, 'TX-3': other });
  });

  it('is made for the only model there is', async () => {
    await initRepository(directory, { models: ['TX-1'] });
    const { keyFile } = await rotateRelease(options, 'release');
    expect(keysOf()).toEqual({ 'TX-1': [await idOf(keyFile)] });
    // It says that nothing was released, by the new key.
    expect(latestTargets(directory, 'TX-1')?.signed).toMatchObject({ version: 2, targets: {} });
  });

  it('is made for nobody in particular where models have keys of their own', async () => {
    await initRepository(directory, { models: ['TX-1'] });
    await delegateModel(options, 'TX-2');
    await expect(rotateRelease(options, 'release')).rejects.toThrow(/say which of TX-2, TX-1/);
  });
});
