import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Updater } from 'tuf-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { generateKey, openSigningKey, type SigningKey } from '../cli/signing-key.ts';
import { initRepository } from '../cli/tuf-keys.ts';
import { canonicalBytes, envelope, openEnvelope, root as rootSchema, SPEC_VERSION } from '../protocol/tuf.ts';

const image = Buffer.from('the released image');
const PATH = 'TX-100/v1.bin';
const later = '2099-01-01T00:00:00Z';

/** The client of TUF's authors, as it is, against what Skylark writes; then against every way to spoil it. */
describe('a conforming client', () => {
  let directory: string;
  let web: Server;
  let base: string;
  let files: Map<string, Uint8Array>;
  let keys: Record<'root' | 'targets' | 'release' | 'online' | 'other', SigningKey>;

  const sealed = (metadata: object, ...signers: SigningKey[]) => {
    const bytes = canonicalBytes(metadata);
    return envelope(
      bytes,
      signers.map((key) => key.sign(bytes)),
    );
  };
  const common = (version: number, expires = later) => ({ spec_version: SPEC_VERSION, version, expires });
  const release = (version: number, targets: object, expires = later) => ({
    _type: 'targets',
    ...common(version, expires),
    targets,
  });
  const snapshot = (version: number, roles: Record<string, number>, expires = later) => ({
    _type: 'snapshot',
    ...common(version, expires),
    meta: Object.fromEntries(Object.entries(roles).map(([name, n]) => [`${name}.json`, { version: n }])),
  });
  const timestamp = (version: number, shot: number, expires = later) => ({
    _type: 'timestamp',
    ...common(version, expires),
    meta: { 'snapshot.json': { version: shot } },
  });
  const target = {
    length: image.length,
    hashes: { sha256: createHash('sha256').update(image).digest('hex') },
  };

  /** The whole view at a version. */
  function publish(version: number): void {
    files.set(`${version}.TX-100.json`, sealed(release(version, { [PATH]: target }), keys.release));
    const roles = { targets: 1, 'TX-100': version };
    files.set(`${version}.snapshot.json`, sealed(snapshot(version, roles), keys.online));
    files.set('timestamp.json', sealed(timestamp(version, version), keys.online));
  }

  /** Refreshes and finds the target, with what this client has trusted so far. */
  async function look(name = 'client'): Promise<string | undefined> {
    const metadataDir = join(directory, name);
    mkdirSync(metadataDir, { recursive: true });
    const trusted = join(metadataDir, 'root.json');
    try {
      readFileSync(trusted);
    } catch {
      writeFileSync(trusted, readFileSync(join(directory, 'keys', '1.root.json')));
    }
    const client = new Updater({ metadataDir, metadataBaseUrl: base, config: { fetchRetry: 0 } });
    await client.refresh();
    return (await client.getTargetInfo(PATH))?.hashes.sha256;
  }

  beforeAll(async () => {
    web = createServer((request, response) => {
      const file = files.get((request.url ?? '/').slice(1));
      response.writeHead(file === undefined ? 404 : 200).end(file);
    }).listen(0, '127.0.0.1');
    await once(web, 'listening');
    const address = web.address();
    base = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  });
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-tuf-'));
    const { keyFiles, rootFile, targetsFile } = await initRepository(join(directory, 'keys'), {
      models: ['TX-100'],
    });
    const other = join(directory, 'other.pem');
    generateKey(other);
    const open = (file: string) => openSigningKey(readFileSync(file, 'utf8'));
    keys = {
      root: await open(keyFiles.root),
      targets: await open(keyFiles.targets),
      release: await open(keyFiles.release),
      online: await open(keyFiles.online),
      other: await open(other),
    };
    files = new Map([
      ['1.root.json', readFileSync(rootFile)],
      ['1.targets.json', readFileSync(targetsFile)],
    ]);
    publish(2);
    return () => rmSync(directory, { recursive: true, force: true });
  });
  afterAll(() => {
    web.close();
    web.closeAllConnections();
  });

  it('finds what is released, and what is released next', async () => {
    expect(await look()).toBe(target.hashes.sha256);
    publish(3);
    expect(await look()).toBe(target.hashes.sha256);
  });

  const change = (name: string, from: string, to: string) => {
    const text = Buffer.from(files.get(name) ?? '').toString();
    expect(text).toContain(from);
    files.set(name, Buffer.from(text.replace(from, to)));
  };
  const past = '2020-01-01T00:00:00Z';

  it.each<[string, () => void]>([
    ['an altered release', () => change('3.TX-100.json', target.hashes.sha256, 'b'.repeat(64))],
    ['an altered snapshot', () => change('3.snapshot.json', '"version":1', '"version":9')],
    ['an altered timestamp', () => change('timestamp.json', '"expires":"2', '"expires":"3')],
    ['an unsigned release', () => files.set('3.TX-100.json', sealed(release(3, { [PATH]: target })))],
    ['an unsigned timestamp', () => files.set('timestamp.json', sealed(timestamp(3, 3)))],
    [
      'a release signed with another key',
      () => files.set('3.TX-100.json', sealed(release(3, { [PATH]: target }), keys.other)),
    ],
    [
      'a release signed with the online key, as a stolen server could',
      () => files.set('3.TX-100.json', sealed(release(3, { [PATH]: target }), keys.online)),
    ],
    [
      'a snapshot signed with the release key',
      () => files.set('3.snapshot.json', sealed(snapshot(3, { targets: 1, 'TX-100': 3 }), keys.release)),
    ],
    [
      'an expired release',
      () => files.set('3.TX-100.json', sealed(release(3, { [PATH]: target }, past), keys.release)),
    ],
    [
      'an expired snapshot',
      () => files.set('3.snapshot.json', sealed(snapshot(3, { targets: 1, 'TX-100': 3 }, past), keys.online)),
    ],
    ['an expired timestamp', () => files.set('timestamp.json', sealed(timestamp(3, 3, past), keys.online))],
    ['a timestamp rolled back', () => files.set('timestamp.json', sealed(timestamp(1, 2), keys.online))],
    [
      'a snapshot rolled back',
      () => {
        files.set('1.snapshot.json', sealed(snapshot(1, { targets: 1, 'TX-100': 2 }), keys.online));
        files.set('timestamp.json', sealed(timestamp(3, 1), keys.online));
      },
    ],
    [
      'a release rolled back',
      () => {
        files.set('1.TX-100.json', sealed(release(1, { [PATH]: target }), keys.release));
        files.set('3.snapshot.json', sealed(snapshot(3, { targets: 1, 'TX-100': 1 }), keys.online));
      },
    ],
    [
      'a mixture: the release is another version than the snapshot says',
      () => files.set('3.TX-100.json', sealed(release(4, { [PATH]: target }), keys.release)),
    ],
    [
      'a mixture: the snapshot is another version than the timestamp says',
      () => files.set('3.snapshot.json', sealed(snapshot(4, { targets: 1, 'TX-100': 3 }), keys.online)),
    ],
    [
      'a file that is cut short',
      () => files.set('3.TX-100.json', (files.get('3.TX-100.json') ?? new Uint8Array()).slice(0, 200)),
    ],
  ])('refuses %s', async (_what, spoil) => {
    await look();
    publish(3);
    spoil();
    await expect(look()).rejects.toThrow();
  });

  it.each([1, 2])(
    'takes a root with a threshold of 2 only with two signatures (%i here)',
    async (signers) => {
      const two = await initRepository(join(directory, 'two'), { rootKeys: 3, rootThreshold: 2 });
      const { signed } = openEnvelope(readFileSync(two.rootFile), rootSchema);
      const first = join(directory, 'keys', '1.root.json');
      writeFileSync(first, readFileSync(two.rootFile));
      const open = (name: string) =>
        openSigningKey(readFileSync(join(directory, 'two', `${name}.pem`), 'utf8'));
      keys = { ...keys, online: await open('online'), release: await open('release') };
      files.set('1.targets.json', readFileSync(two.targetsFile));
      const own = [await open('root'), await open('root-3')].slice(0, signers);
      files.set('2.root.json', sealed({ ...signed, version: 2 }, ...own));
      files.set('2.release.json', sealed(release(2, { [PATH]: target }), keys.release));
      files.set('2.snapshot.json', sealed(snapshot(2, { targets: 1, release: 2 }), keys.online));
      files.set('timestamp.json', sealed(timestamp(2, 2), keys.online));
      if (signers === 2) expect(await look('two-client')).toBe(target.hashes.sha256);
      else await expect(look('two-client')).rejects.toThrow();
    },
  );
});
