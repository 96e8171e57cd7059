import { env } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import {
  canonicalBytes,
  envelope,
  keyIdOf,
  openEnvelope,
  type PublicKey,
  SPEC_VERSION,
  snapshot,
  targets,
  timestamp,
  toHex,
} from '../../protocol/tuf.ts';
import type { Env } from '../env.ts';
import type { Release } from './releases.ts';

const worker = env as unknown as Env;
const expires = '2099-01-01T00:00:00Z';

async function newKey() {
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair;
  const raw = (await crypto.subtle.exportKey('raw', pair.publicKey)) as ArrayBuffer;
  const own: PublicKey = {
    keytype: 'ed25519',
    scheme: 'ed25519',
    keyval: { public: toHex(new Uint8Array(raw)) },
  };
  const id = await keyIdOf(own);
  const sign = async (bytes: Uint8Array<ArrayBuffer>) => ({
    keyid: id,
    sig: toHex(new Uint8Array(await crypto.subtle.sign('Ed25519', pair.privateKey, bytes))),
  });
  return { id, own, sign };
}

/** What a root must name for snapshot and timestamp: the key the Worker under test has. */
async function onlineKey() {
  const der = Buffer.from(worker.TUF_ONLINE_KEY.replace(/-----[^-]+-----/g, ''), 'base64');
  const key = await crypto.subtle.importKey('pkcs8', der, 'Ed25519', true, ['sign']);
  const { x = '' } = (await crypto.subtle.exportKey('jwk', key)) as JsonWebKey;
  const own: PublicKey = {
    keytype: 'ed25519',
    scheme: 'ed25519',
    keyval: { public: Buffer.from(x, 'base64url').toString('hex') },
  };
  return { id: await keyIdOf(own), own };
}
type Key = Awaited<ReturnType<typeof newKey>>;

const sealed = async (key: Key, metadata: object) => {
  const bytes = canonicalBytes(metadata);
  return envelope(bytes, [await key.sign(bytes)]);
};
const role = (...keys: { id: string }[]) => ({ keyids: keys.map((k) => k.id), threshold: 1 });

async function repository(name: string) {
  const [rootKey, targetsKey, releaseKey, online] = await Promise.all([
    newKey(),
    newKey(),
    newKey(),
    onlineKey(),
  ]);
  const rootOf = (version: number) => ({
    _type: 'root',
    spec_version: SPEC_VERSION,
    version,
    expires,
    consistent_snapshot: true,
    keys: Object.fromEntries([rootKey, targetsKey, online].map((k) => [k.id, k.own])),
    roles: {
      root: role(rootKey),
      targets: role(targetsKey),
      snapshot: role(online),
      timestamp: role(online),
    },
  });
  const top = {
    _type: 'targets',
    spec_version: SPEC_VERSION,
    version: 1,
    expires,
    targets: {},
    delegations: {
      keys: { [releaseKey.id]: releaseKey.own },
      roles: [{ name: 'release', ...role(releaseKey), paths: ['*/*'], terminating: true }],
    },
  };
  const releases = worker.RELEASES.getByName(name);
  expect(await releases.putRoot(await sealed(rootKey, rootOf(1)))).toBeNull();
  expect(await releases.putTargets(await sealed(targetsKey, top))).toBeNull();
  return { releases, rootKey, targetsKey, releaseKey, rootOf };
}

const release = (version: string): Release => ({
  firmware_id: `id-${version}`,
  path: `TX-100/${version}.bin`,
  length: 5,
  sha256: 'cd'.repeat(32),
  custom: { version, kind: 'firmware', hw: ['TX-100'], minVersion: null, advisory: null },
});

const read = async (name: string) =>
  new Uint8Array((await (await worker.FIRMWARE.get(`tuf/${name}`))?.arrayBuffer()) ?? new ArrayBuffer());

describe('publishing a release', () => {
  it('takes a signature over exactly the bytes it gave, and shows the release in a consistent view', async () => {
    const { releases, releaseKey } = await repository('happy');
    const prepared = await releases.prepare(release('v1'));
    if ('refused' in prepared) throw new Error(prepared.detail);
    const signature = await releaseKey.sign(new Uint8Array(prepared.bytes));
    expect(await releases.publish(release('v1'), { signatures: [signature] })).toBeNull();
    const { signed: stamp } = openEnvelope(await read('timestamp.json'), timestamp);
    const { signed: view } = openEnvelope(
      await read(`${stamp.meta['snapshot.json'].version}.snapshot.json`),
      snapshot,
    );
    expect(view.meta['release.json']).toEqual({ version: 1 });
    const { signed: published } = openEnvelope(await read('1.release.json'), targets);
    expect(published.targets['TX-100/v1.bin']?.custom).toMatchObject({ hw: ['TX-100'], releaseCounter: 1 });
    expect(await releases.publish(release('v1'), { signatures: [signature] })).toBeNull();
  });

  it('refuses a wrong key, a changed signature, and one made for other bytes', async () => {
    const { releases, releaseKey, rootKey } = await repository('wrong');
    const prepared = await releases.prepare(release('v1'));
    if ('refused' in prepared) throw new Error(prepared.detail);
    const bytes = new Uint8Array(prepared.bytes);
    const good = await releaseKey.sign(bytes);
    for (const bad of [
      await rootKey.sign(bytes),
      { ...good, sig: `00${good.sig.slice(2)}` },
      await releaseKey.sign(new Uint8Array(3)),
    ]) {
      expect(await releases.publish(release('v1'), { signatures: [bad] })).toMatchObject({
        refused: 'bad_signature',
      });
    }
    expect(await releases.publish(release('v2'), { signatures: [good] })).toMatchObject({
      refused: 'not_prepared',
    });
  });

  it('gives new bytes to whoever was overtaken by another release, and keeps both', async () => {
    const { releases, releaseKey } = await repository('overtaken');
    const sign = async (version: string) => {
      const prepared = await releases.prepare(release(version));
      if ('refused' in prepared) throw new Error(prepared.detail);
      return { signatures: [await releaseKey.sign(new Uint8Array(prepared.bytes))] };
    };
    const [one, two] = [await sign('v1'), await sign('v2')];
    expect(await releases.publish(release('v1'), one)).toBeNull();
    expect(await releases.publish(release('v2'), two)).toMatchObject({ refused: 'stale' });
    expect(await releases.publish(release('v2'), await sign('v2'))).toBeNull();
    const { signed } = openEnvelope(await read('2.release.json'), targets);
    expect(Object.keys(signed.targets).sort()).toEqual(['TX-100/v1.bin', 'TX-100/v2.bin']);
  });

  it('follows a rotated root only where the old one signed it too', async () => {
    const { releases, rootKey, rootOf } = await repository('rotation');
    expect(await releases.putRoot(await sealed(await newKey(), rootOf(2)))).toMatchObject({
      refused: 'bad_signature',
    });
    expect(await releases.putRoot(await sealed(rootKey, rootOf(3)))).toMatchObject({ refused: 'stale' });
    expect(await releases.putRoot(await sealed(rootKey, rootOf(2)))).toBeNull();
  });
});
