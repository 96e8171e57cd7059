import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { latestTargets } from './tuf-files.ts';
import {
  generateKey,
  initRepository,
  mustBeAsBefore,
  mustBeTrusted,
  type RepositoryOptions,
} from './tuf-keys.ts';

describe('a repository that is there already', () => {
  let directory: string;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-keys-'));
    await initRepository(directory, { rootKeys: 2, models: ['TX-1'] });
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const said = (options: RepositoryOptions) => () => mustBeAsBefore(directory, options);

  it('is left as it is where the same is asked for', () => {
    expect(said({ rootKeys: 2, models: ['TX-1'] })).not.toThrow();
    expect(said({ rootKeys: 2 })).not.toThrow();
  });

  it.each<[string, RepositoryOptions, RegExp]>([
    ['more root keys', { rootKeys: 3 }, /has a root of 2 keys already/],
    ['a higher threshold', { rootKeys: 2, rootThreshold: 2 }, /1 of which must sign/],
    ['another model', { rootKeys: 2, models: ['TX-1', 'TX-2'] }, /without roles for TX-2: .*keys delegate/],
  ])('does not become one of %s', (_what, options, error) => {
    expect(said(options)).toThrow(error);
  });

  it('takes no other key for the one it trusts', async () => {
    const own = readFileSync(join(directory, 'release.pem'), 'utf8');
    const other = join(directory, 'other.pem');
    generateKey(other);
    await expect(mustBeTrusted(directory, { release: own })).resolves.toBeUndefined();
    await expect(mustBeTrusted(directory, { release: other })).rejects.toThrow(/keys rotate release/);
    await expect(mustBeTrusted(join(directory, 'new'), { release: other })).resolves.toBeUndefined();
  });

  it('gets the first metadata of a role that has none', async () => {
    rmSync(join(directory, '1.TX-1.json'));
    const { roleFiles } = await initRepository(directory, { rootKeys: 2 });
    expect(roleFiles).toEqual([join(directory, '1.TX-1.json')]);
    expect(latestTargets(directory, 'TX-1')?.signed.targets).toEqual({});
  });

  it('gets no new key for one that is gone: nothing would trust it', async () => {
    rmSync(join(directory, 'release.pem'));
    expect(said({ rootKeys: 2 })).toThrow(/release.pem is not in .*keys rotate/);
    expect(said({ rootKeys: 2, given: { release: 'PEM' } })).not.toThrow();
  });
});
