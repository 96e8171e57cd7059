import { env, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import {
  canonicalBytes,
  envelope,
  keyIdOf,
  MAX_ENVELOPE_BYTES,
  MAX_METADATA_BYTES,
  openEnvelope,
  type PublicKey,
  SPEC_VERSION,
  snapshot,
  targets,
  timestamp,
  toHex,
} from '../../protocol/tuf.ts';
import type { Env } from '../env.ts';
import { type Release, Releases } from './releases.ts';

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
  const der = (await crypto.subtle.exportKey('pkcs8', pair.privateKey)) as ArrayBuffer;
  const pem = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(der).toString('base64')}\n-----END PRIVATE KEY-----\n`;
  return { id, own, sign, pem };
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
  const topOf = (version: number, keys: Key[]) => ({
    _type: 'targets',
    spec_version: SPEC_VERSION,
    version,
    expires,
    targets: {},
    delegations: {
      keys: Object.fromEntries(keys.map((key) => [key.id, key.own])),
      roles: [{ name: 'release', ...role(...keys), paths: ['*/*'], terminating: true }],
    },
  });
  const releases = worker.RELEASES.getByName(name);
  expect(await releases.putRoot(await sealed(rootKey, rootOf(1)))).toBeNull();
  expect(await releases.putTargets(await sealed(targetsKey, topOf(1, [releaseKey])))).toBeNull();
  return { releases, rootKey, targetsKey, releaseKey, rootOf, topOf };
}

const release = (version: string): Release => ({
  firmware_id: `id-${version}`,
  path: `TX-100/${version}.bin`,
  length: 5,
  sha256: 'cd'.repeat(32),
  custom: { version, kind: 'firmware', hw: ['TX-100'], minVersion: null, advisory: null },
});

/** What a client sees: what the timestamp leads to, whole. */
async function view() {
  const { signed: stamp } = openEnvelope(await read('timestamp.json'), timestamp);
  const { signed: shot } = openEnvelope(
    await read(`${stamp.meta['snapshot.json'].version}.snapshot.json`),
    snapshot,
  );
  const version = shot.meta['release.json']?.version;
  const nothing = { targets: {} };
  return {
    version: stamp.version,
    release:
      version === undefined ? nothing : openEnvelope(await read(`${version}.release.json`), targets).signed,
  };
}

type Stub = DurableObjectStub<Releases>;

async function publishAs(releases: Stub, version: string, key: Key): Promise<void> {
  const prepared = await releases.prepare(release(version));
  if ('refused' in prepared) throw new Error(prepared.detail);
  const signature = await key.sign(new Uint8Array(prepared.bytes));
  expect(await releases.publish(release(version), { signatures: [signature] })).toBeNull();
}

/** Does something in the object while the nth write to R2 fails. */
function failAtPut<Result>(
  releases: Stub,
  failing: number,
  work: (object: Releases) => Promise<Result>,
  more: Partial<Env> = {},
): Promise<Result> {
  return runInDurableObject(releases, async (_object, state) => {
    let writes = 0;
    const bucket = new Proxy(worker.FIRMWARE, {
      get(target, name: keyof R2Bucket) {
        if (name !== 'put') return target[name].bind(target);
        return (...args: Parameters<R2Bucket['put']>) => {
          writes += 1;
          if (writes === failing) throw new Error('R2 is away');
          return target.put(...args);
        };
      },
    });
    // Another life of the same object: it has the same storage.
    return work(new Releases(state, { ...worker, FIRMWARE: bucket, ...more }));
  });
}

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
      { ...good, sig: `${good.sig.startsWith('0') ? '1' : '0'}${good.sig.slice(1)}` },
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

  it('stops before a role says more than clients and a rotation of its key can take', async () => {
    const { releases, releaseKey } = await repository('full');
    const of = (version: number, count: number) => ({
      _type: 'targets',
      spec_version: SPEC_VERSION,
      version,
      expires,
      targets: Object.fromEntries(
        Array.from({ length: count }, (_, n) => {
          const { path, length, sha256, custom } = release(`v${n}`);
          const counted = { ...custom, releaseCounter: 1, rollbackFloor: 0 };
          return [path, { length, hashes: { sha256 }, custom: counted }];
        }),
      ),
    });
    const each = canonicalBytes(of(1, 2001)).byteLength - canonicalBytes(of(1, 2000)).byteLength;
    let version = 1;
    let count = Math.floor(MAX_METADATA_BYTES / each) - 2;
    expect(await releases.putRole('release', await sealed(releaseKey, of(1, count)))).toBeNull();
    for (; ; count += 1) {
      const prepared = await releases.prepare(release(`v${count}`));
      if ('refused' in prepared) {
        expect(prepared.refused).toBe('full');
        break;
      }
      await publishAs(releases, `v${count}`, releaseKey);
      version += 1;
    }
    // All of it can still be signed anew.
    const { byteLength } = await read(`${version}.release.json`);
    expect(byteLength).toBeLessThan(MAX_ENVELOPE_BYTES);
  });

  it('never releases other bytes under a path, nor one that was withdrawn', async () => {
    const { releases, releaseKey } = await repository('spent');
    await publishAs(releases, 'v1', releaseKey);
    const other = { ...release('v1'), firmware_id: 'other', sha256: 'd'.repeat(64) };
    expect(await releases.prepare(other)).toMatchObject({ refused: 'spent' });
    expect(await releases.publish(other, { signatures: [] })).toMatchObject({ refused: 'spent' });
    await releases.withdraw(release('v1').path);
    expect(await releases.prepare({ ...release('v1'), firmware_id: 'again' })).toMatchObject({
      refused: 'spent',
    });
    await publishAs(releases, 'v2', releaseKey);
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

  it('gives new bytes where what is said of a release has changed since', async () => {
    const { releases, releaseKey } = await repository('changed');
    const told = {
      ...release('v1'),
      custom: { ...release('v1').custom, advisory: `sha256:${'ab'.repeat(32)}` },
    };
    const sign = async (about: Release) => {
      const prepared = await releases.prepare(about);
      if ('refused' in prepared) throw new Error(prepared.detail);
      return { signatures: [await releaseKey.sign(new Uint8Array(prepared.bytes))] };
    };
    const before = await sign(release('v1'));
    expect(await releases.publish(told, before)).toMatchObject({ refused: 'stale' });
    expect(await releases.publish(told, await sign(told))).toBeNull();
    const { signed } = openEnvelope(await read('1.release.json'), targets);
    expect(signed.targets['TX-100/v1.bin']?.custom?.advisory).toBe(told.custom.advisory);
  });

  it('leaves the old view or shows the new one, whichever write fails, and the next try completes it', async () => {
    for (let failing = 1; failing <= 3; failing += 1) {
      const { releases, releaseKey } = await repository(`crash-${failing}`);
      await publishAs(releases, 'v1', releaseKey);
      const before = await view();
      const prepared = await releases.prepare(release('v2'));
      if ('refused' in prepared) throw new Error(prepared.detail);
      const signed = { signatures: [await releaseKey.sign(new Uint8Array(prepared.bytes))] };
      await expect(
        failAtPut(releases, failing, (object) => object.publish(release('v2'), signed)),
      ).rejects.toThrow('R2 is away');
      expect(await view()).toEqual(before);
      expect(await releases.publish(release('v2'), signed)).toBeNull();
      const after = await view();
      expect(Object.keys(after.release.targets)).toEqual(['TX-100/v1.bin', 'TX-100/v2.bin']);
    }
  });

  it('publishes one of two that were prepared at the same time, and lets the other try again', async () => {
    const { releases, releaseKey } = await repository('at-once');
    const signed = await Promise.all(
      ['v1', 'v2'].map(async (version) => {
        const prepared = await releases.prepare(release(version));
        if ('refused' in prepared) throw new Error(prepared.detail);
        return { version, signatures: [await releaseKey.sign(new Uint8Array(prepared.bytes))] };
      }),
    );
    const outcomes = await Promise.all(
      signed.map(({ version, signatures }) => releases.publish(release(version), { signatures })),
    );
    expect(outcomes.map((outcome) => outcome?.refused ?? null).sort()).toEqual([null, 'stale'].sort());
  });

  it('signs snapshot and timestamp anew for another week, and tells how long all of it is good', async () => {
    const { releases } = await repository('daily');
    const before = await view();
    expect(await runDurableObjectAlarm(releases)).toBe(true);
    expect((await view()).version).toBe(before.version + 1);
    const expiries = await releases.expiries();
    const days = (expiries.timestamp ?? 0) / 86_400 - Date.now() / 86_400_000;
    expect([Math.round(days), expiries.snapshot]).toEqual([7, expiries.timestamp]);
    expect(Object.keys(expiries).sort()).toEqual(['root', 'snapshot', 'targets', 'timestamp']);
  });

  it('replaces a lost release key in steps, and refuses the step that would leave devices without an update', async () => {
    const { releases, releaseKey, targetsKey, topOf } = await repository('lost-key');
    await publishAs(releases, 'v1', releaseKey);
    const fresh = await newKey();
    const put = async (version: number, keys: Key[]) =>
      releases.putTargets(await sealed(targetsKey, topOf(version, keys)));
    expect(await put(2, [fresh])).toMatchObject({ refused: 'would_break' });
    expect(await put(2, [releaseKey, fresh])).toBeNull();
    const { signed: current } = openEnvelope(await read('1.release.json'), targets);
    const next = { ...current, version: 2 };
    expect(
      await releases.putRole('release', await sealed(releaseKey, { ...next, targets: {} })),
    ).toMatchObject({
      refused: 'would_break',
    });
    expect(await releases.putRole('release', await sealed(targetsKey, next))).toMatchObject({
      refused: 'bad_signature',
    });
    expect(await releases.putRole('release', await sealed(fresh, next))).toBeNull();
    expect(await put(3, [fresh])).toBeNull();
    const prepared = await releases.prepare(release('v2'));
    if ('refused' in prepared) throw new Error(prepared.detail);
    const bytes = new Uint8Array(prepared.bytes);
    expect(
      await releases.publish(release('v2'), { signatures: [await releaseKey.sign(bytes)] }),
    ).toMatchObject({
      refused: 'bad_signature',
    });
    expect(await releases.publish(release('v2'), { signatures: [await fresh.sign(bytes)] })).toBeNull();
  });

  it('keeps the view it has when the online key is none that the root trusts', async () => {
    const { releases, rootKey, rootOf } = await repository('wrong-online');
    const other = await newKey();
    const root = rootOf(2);
    const roles = { ...root.roles, timestamp: role(other), snapshot: role(other) };
    const foreign = { ...root, keys: { ...root.keys, [other.id]: other.own }, roles };
    expect(await releases.putRoot(await sealed(rootKey, foreign))).toMatchObject({
      refused: 'bad_signature',
    });
  });

  it('replaces the online key so that what is out can be read at any moment, whichever write fails', async () => {
    for (let failing = 1; failing <= 5; failing += 1) {
      const { releases, rootKey, rootOf } = await repository(`online-${failing}`);
      const [old, fresh] = [await onlineKey(), await newKey()];
      const trusting = (version: number, ...keys: { id: string; own: PublicKey }[]) => {
        const root = rootOf(version);
        const roles = { ...root.roles, timestamp: role(...keys), snapshot: role(...keys) };
        return { ...root, keys: { ...root.keys, [fresh.id]: fresh.own }, roles };
      };
      expect(await releases.putRoot(await sealed(rootKey, trusting(2, old, fresh)))).toBeNull();
      const last = await sealed(rootKey, trusting(3, fresh));
      const put = (object: Releases) => object.putRoot(last);
      // The Worker has the new key by now, and has signed nothing with it yet.
      const TUF_ONLINE_KEY = fresh.pem;
      await expect(failAtPut(releases, failing, put, { TUF_ONLINE_KEY })).rejects.toThrow('R2 is away');
      const isOut = Buffer.from(await read('3.root.json')).equals(last);
      const { signatures } = openEnvelope(await read('timestamp.json'), timestamp);
      if (isOut) expect(signatures.map(({ keyid }) => keyid)).toEqual([fresh.id]);
      expect(await failAtPut(releases, 0, put, { TUF_ONLINE_KEY })).toBeNull();
      expect(Buffer.from(await read('3.root.json')).equals(last)).toBe(true);
    }
  });

  it('shows new targets when they are put again after a crash', async () => {
    for (let failing = 1; failing <= 3; failing += 1) {
      const { releases, releaseKey, targetsKey, topOf } = await repository(`targets-${failing}`);
      const next = await sealed(targetsKey, topOf(2, [releaseKey, await newKey()]));
      const put = (object: Releases) => object.putTargets(next);
      await expect(failAtPut(releases, failing, put)).rejects.toThrow('R2 is away');
      expect(await releases.putTargets(next)).toBeNull();
      const { version } = openEnvelope(await read('timestamp.json'), timestamp).signed.meta['snapshot.json'];
      const { meta } = openEnvelope(await read(`${version}.snapshot.json`), snapshot).signed;
      expect(meta['targets.json']).toEqual({ version: 2 });
    }
  });

  it('follows a rotated root only where the old one signed it too', async () => {
    const { releases, rootKey, rootOf } = await repository('rotation');
    expect(await releases.putRoot(await sealed(await newKey(), rootOf(2)))).toMatchObject({
      refused: 'bad_signature',
    });
    expect(await releases.putRoot(await sealed(rootKey, rootOf(3)))).toMatchObject({ refused: 'stale' });
    expect(await releases.putRoot(await sealed(rootKey, rootOf(2)))).toBeNull();
  });

  it('is never replaced by metadata that no client takes, for no later file would mend that', async () => {
    const { releases, rootKey, targetsKey, releaseKey, rootOf, topOf } = await repository('no-client');
    const spoilt = structuredClone({ root: rootOf(2), top: topOf(2, [releaseKey]) });
    const [delegated] = spoilt.top.delegations.roles;
    if (delegated === undefined) throw new Error('no role');
    const other = await newKey();
    const roots = [
      { ...spoilt.root, expires: '2020-01-01T00:00:00Z' },
      ...(['root', 'snapshot'] as const).map((name) => ({
        ...spoilt.root,
        roles: { ...spoilt.root.roles, [name]: role(rootKey, rootKey) },
      })),
      { ...spoilt.root, roles: { ...spoilt.root.roles, root: role(rootKey, other) } },
      { ...spoilt.root, roles: { ...spoilt.root.roles, root: { ...role(rootKey), threshold: 2 } } },
      {
        ...spoilt.root,
        keys: { ...spoilt.root.keys, [other.id]: other.own },
        roles: { ...spoilt.root.roles, timestamp: { ...role(await onlineKey(), other), threshold: 2 } },
      },
    ];
    for (const root of roots)
      expect(await releases.putRoot(await sealed(rootKey, root))).toMatchObject({ refused: 'would_break' });
    const tops = [
      { ...spoilt.top, expires: '2020-01-01T00:00:00Z' },
      ...[[delegated, delegated], [{ ...delegated, threshold: 2 }], [{ ...delegated, ...role(other) }]].map(
        (roles) => ({ ...spoilt.top, delegations: { ...spoilt.top.delegations, roles } }),
      ),
    ];
    for (const top of tops)
      expect(await releases.putTargets(await sealed(targetsKey, top))).toMatchObject({
        refused: 'would_break',
      });
    expect(await releases.putRoot(await sealed(rootKey, rootOf(2)))).toBeNull();
    expect(await releases.putTargets(await sealed(targetsKey, topOf(2, [releaseKey])))).toBeNull();
  });
});
