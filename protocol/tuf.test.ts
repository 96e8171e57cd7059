import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Fetcher, Updater } from 'tuf-js';
import { DownloadHTTPError } from 'tuf-js/dist/error.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { initRepository, openSigningKey } from '../cli/tuf-keys.ts';
import {
  canonicalBytes,
  envelope,
  isSigned,
  openEnvelope,
  roleForPath,
  root,
  SPEC_VERSION,
  type Targets,
  targets,
} from './tuf.ts';

describe('update metadata', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-tuf-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const expires = '2099-01-01T00:00:00Z';
  const key = async (name: string) =>
    openSigningKey(readFileSync(join(directory, 'keys', `${name}.pem`), 'utf8'));

  async function repository(release: Targets): Promise<Map<string, Uint8Array>> {
    const made = await initRepository(join(directory, 'keys'));
    const [releaseKey, online] = [await key('release'), await key('online')];
    const sealed = (by: typeof online, metadata: object) => {
      const bytes = canonicalBytes(metadata);
      return envelope(bytes, [by.sign(bytes)]);
    };
    const common = { spec_version: SPEC_VERSION, version: 1, expires };
    const meta = { 'targets.json': { version: 1 }, 'release.json': { version: 1 } };
    return new Map([
      ['1.root.json', readFileSync(made.rootFile)],
      ['1.targets.json', readFileSync(made.targetsFile)],
      ['1.release.json', sealed(releaseKey, release)],
      ['1.snapshot.json', sealed(online, { _type: 'snapshot', ...common, meta })],
      [
        'timestamp.json',
        sealed(online, { _type: 'timestamp', ...common, meta: { 'snapshot.json': { version: 1 } } }),
      ],
    ]);
  }

  const release: Targets = {
    _type: 'targets',
    spec_version: SPEC_VERSION,
    version: 1,
    expires,
    targets: { 'TX-100/v1.1.0.bin': { length: 3, hashes: { sha256: 'ab'.repeat(32) } } },
  };

  function updater(files: Map<string, Uint8Array>): Updater {
    const trusted = mkdtempSync(join(directory, 'client-'));
    writeFileSync(join(trusted, 'root.json'), files.get('1.root.json') ?? '');
    const fetcher: Fetcher = {
      downloadBytes: async (url) => {
        const file = files.get(url.split('/').at(-1) ?? '');
        if (file === undefined) throw new DownloadHTTPError('not found', 404);
        return Buffer.from(file);
      },
      downloadFile: () => Promise.reject(new Error('not used')),
    };
    return new Updater({ metadataDir: trusted, metadataBaseUrl: 'https://x.example/tuf', fetcher });
  }

  it('is read by the unmodified client of its authors', async () => {
    const client = updater(await repository(release));
    await client.refresh();
    expect((await client.getTargetInfo('TX-100/v1.1.0.bin'))?.length).toBe(3);
    expect(await client.getTargetInfo('TX-100/v9.bin')).toBeUndefined();
  });

  it('is refused by that client when a byte of the release is changed', async () => {
    const files = await repository(release);
    const text = new TextDecoder().decode(files.get('1.release.json')).replace('"length":3', '"length":4');
    files.set('1.release.json', new TextEncoder().encode(text));
    await expect(updater(files).getTargetInfo('TX-100/v1.1.0.bin')).rejects.toThrow(/signed|threshold/i);
  });

  it('is signed over exactly the bytes that stand in the file', async () => {
    const file = new Uint8Array((await repository(release)).get('1.root.json') ?? []);
    const { signed, bytes, signatures } = openEnvelope(file, root);
    expect(new TextDecoder().decode(file).endsWith(`"signed":${new TextDecoder().decode(bytes)}}`)).toBe(
      true,
    );
    expect(await isSigned(bytes, signatures, signed.keys, signed.roles.root)).toBe(true);
    bytes[10] = (bytes[10] ?? 0) ^ 1;
    expect(await isSigned(bytes, signatures, signed.keys, signed.roles.root)).toBe(false);
  });

  it('counts a key once, however often it signed', async () => {
    await repository(release);
    const signer = await key('release');
    const bytes = canonicalBytes(release);
    const role = { keyids: [signer.id], threshold: 2 };
    const twice = [signer.sign(bytes), signer.sign(bytes)];
    expect(await isSigned(bytes, twice, { [signer.id]: signer.public }, role)).toBe(false);
    // No client reads a file that is signed so.
    expect(() => openEnvelope(envelope(bytes, twice), targets)).toThrow(/signed twice/);
  });

  it('trusts the first role whose pattern matches, and no pattern crosses a slash', () => {
    const role = (name: string, paths: string[]) => ({
      name,
      paths,
      keyids: ['0'.repeat(64)],
      threshold: 1,
      terminating: true,
    });
    const top: Targets = {
      ...release,
      delegations: { keys: {}, roles: [role('TX-100', ['TX-100/*']), role('rest', ['*/*'])] },
    };
    expect(targets.safeParse(top).success).toBe(true);
    expect(roleForPath(top, 'TX-100/v1.bin')?.name).toBe('TX-100');
    expect(roleForPath(top, 'TX-1000/v1.bin')?.name).toBe('rest');
    expect(roleForPath(top, 'a/b/c.bin')).toBeUndefined();
  });
});
