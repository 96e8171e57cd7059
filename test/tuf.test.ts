import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Updater } from 'tuf-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiClient } from '../cli/api-client.ts';
import { upload } from '../cli/firmware.ts';
import { publish } from '../cli/publish.ts';
import { openSigningKey, readPem } from '../cli/signing-key.ts';
import { pushMetadata, readPublished } from '../cli/tuf-push.ts';
import { renewer } from '../cli/tuf-renew.ts';
import {
  delegateModel,
  rotateOnline,
  rotateRelease,
  rotateRoot,
  rotateTargets,
} from '../cli/tuf-rotation.ts';
import type { RotationOptions } from '../cli/tuf-workshop.ts';
import { canonicalBytes, type Targets } from '../protocol/tuf.ts';
import { publishFirmware } from './publish.ts';
import { type Skylark, startSkylark } from './skylark.ts';

let sky: Skylark;
let directory: string;
let client: ApiClient;
let options: RotationOptions;
/** The release key that counts now. */
let released: string;

/** A device in the field: it was made with the first root, and keeps what it has trusted since. */
async function find(path: string): Promise<string | undefined> {
  const updater = new Updater({
    metadataDir: join(directory, 'device'),
    metadataBaseUrl: `${sky.facts.url}/tuf`,
  });
  await updater.refresh();
  return (await updater.getTargetInfo(path))?.hashes.sha256;
}

async function release(model: string, version: string, keyFile: string): Promise<string> {
  const file = join(directory, 'firmware.bin');
  writeFileSync(file, `${model} ${version}`);
  const row = await upload(client, file, { model, version, kind: 'firmware', release_notes: '' });
  await publish(client, row, await openSigningKey(readPem(keyFile)));
  return row.checksum.slice('sha256:'.length);
}

const push = () => pushMetadata(client, sky.facts.url, options.directory, renewer(options));

describe('the update metadata, as devices in the field see it', () => {
  beforeAll(async () => {
    sky = await startSkylark();
    directory = mkdtempSync(join(tmpdir(), 'skylark-tuf-'));
    client = new ApiClient(sky.facts.url, sky.facts.api_key);
    const keys = dirname(sky.facts.release_key);
    options = {
      directory: keys,
      besides: [],
      published: (role) => readPublished(sky.facts.url, role),
    };
    mkdirSync(join(directory, 'device'));
    writeFileSync(join(directory, 'device', 'root.json'), readFileSync(join(keys, '1.root.json')));
  });
  afterAll(async () => {
    rmSync(directory, { recursive: true, force: true });
    await sky.stop();
  });

  it('says of a model for which nothing was released that there is nothing, and nothing else', async () => {
    expect(await find('TX-100/v1.bin')).toBeUndefined();
    expect(await find('TX-999/v1.bin')).toBeUndefined();
    await delegateModel(options, 'TX-0');
    await push();
    expect(await find('TX-0/v1.bin')).toBeUndefined();
  });

  it('is read by an unmodified client, by the role of its model', async () => {
    const sha256 = await release('TX-100', 'v1', sky.facts.release_key);
    expect(await find('TX-100/v1.bin')).toBe(sha256);
    expect(Object.keys((await readPublished(sky.facts.url, 'TX-100'))?.signed.targets ?? {})).toEqual([
      'TX-100/v1.bin',
    ]);
  });

  it('takes the releases of everybody who publishes at the same moment', async () => {
    const versions = Array.from({ length: 12 }, (_, n) => `v0.${n}`);
    const rows = await Promise.all(versions.map((version) => publishFirmware(sky, version, { size: 100 })));
    expect(new Set(rows.map((row) => row.state))).toEqual(new Set(['published']));
    for (const version of versions) expect(await find(`TX-100/${version}.bin`)).toBeDefined();
  });

  it('survives a lost release key: the old one signs nothing more, and no device is touched', async () => {
    await release('M-7', 'v1', sky.facts.release_key);
    const { keyFile = '', files } = await rotateRelease(options, 'release');
    released = keyFile;
    expect(await push()).toHaveLength(files.length);
    await find('M-7/v1.bin');
    await expect(release('M-7', 'v2', sky.facts.release_key)).rejects.toThrow(/not signed by/);
    await expect(release('TX-100', 'v2', sky.facts.release_key)).rejects.toThrow(/not signed by/);
    const sha256 = await release('TX-100', 'v2', keyFile);
    expect(await find('TX-100/v2.bin')).toBe(sha256);
    expect(await find('TX-100/v1.bin')).toBeDefined();
  });

  it('replaces a release key although releases come between, by the old key too', async () => {
    const { keyFile: first = '' } = await rotateRelease(options, 'release');
    const { keyFile = '' } = await rotateRelease(options, 'release');
    await release('M-7', 'v1.1', released);
    await push();
    for (const version of ['v1', 'v1.1']) expect(await find(`M-7/${version}.bin`)).toBeDefined();
    for (const old of [released, first])
      await expect(release('M-7', 'v1.2', old)).rejects.toThrow(/not signed by/);
    released = keyFile;
    await release('M-7', 'v1.2', released);
    expect(await push()).toEqual([]);
  });

  it('signs nothing anew that a server made up', async () => {
    const made = await readPublished(sky.facts.url, 'release');
    if (made === undefined) throw new Error('nothing is released');
    const signed = { ...made.signed, version: made.signed.version + 1 };
    const published = async () => ({ ...made, signed, bytes: canonicalBytes(signed) });
    await expect(rotateRelease({ ...options, published }, 'release')).rejects.toThrow(/nothing was signed/);
    // Nor what a key has signed that was taken back.
    const key = await openSigningKey(readPem(sky.facts.release_key));
    const byOld = async () => ({ ...made, signatures: [key.sign(made.bytes)] });
    await expect(rotateRelease({ ...options, published: byOld }, 'release')).rejects.toThrow(
      /nothing was signed/,
    );
    expect(await push()).toEqual([]);
  });

  it('is not put under the name of another version, or of another role', async () => {
    const file = readFileSync(join(options.directory, '1.root.json'));
    for (const name of ['1.targets.json', '1.TX-100.json'])
      await expect(client.putBytes(`/tuf/${name}`, new Uint8Array(file))).rejects.toThrow(/not TUF metadata/);
    await expect(client.putBytes('/tuf/999.root.json', new Uint8Array(file))).rejects.toThrow(
      /it is version 1, and its name says 999/,
    );
  });

  it('is not put from a directory that is behind', async () => {
    const behind = join(directory, 'behind');
    cpSync(options.directory, behind, { recursive: true });
    const theirs = { ...options, directory: behind };
    await rotateTargets(options);
    await push();
    await delegateModel(theirs, 'ELSEWHERE');
    await expect(pushMetadata(client, sky.facts.url, behind, renewer(theirs))).rejects.toThrow(
      /is out already, with other contents/,
    );
  });

  it('is signed by CI only where it says what was signed before, and the one release more', async () => {
    const file = join(directory, 'honest.bin');
    writeFileSync(file, 'honest');
    const named = { model: 'M-7', version: 'v1.25', kind: 'firmware', release_notes: '' };
    const row = await upload(client, file, named);
    const key = await openSigningKey(readPem(released));
    const foreign = { length: 1, hashes: { sha256: '0'.repeat(64) } };
    for (const change of [
      (said: Targets) => ({ ...said, targets: { ...said.targets, 'M-7/v9.bin': foreign } }),
      (said: Targets) => ({ ...said, targets: { ...said.targets, 'M-7/v1.bin': foreign } }),
      (said: Targets) => ({ ...said, targets: { ...said.targets, 'M-7/v1.25.bin': foreign } }),
      (said: Targets) => ({ ...said, expires: '2099-01-01T00:00:00Z' }),
      (said: Targets) => ({ ...said, delegations: { keys: {}, roles: [] } }),
    ]) {
      const server = new ApiClient(sky.facts.url, sky.facts.api_key);
      server.postForBytes = async (path) => {
        const said: Targets = JSON.parse(Buffer.from(await client.postForBytes(path)).toString());
        return canonicalBytes(change(said));
      };
      await expect(publish(server, row, key)).rejects.toThrow(/nothing was signed/);
    }
    await publish(client, row, key);
  });

  it('is readable to every client, however often a key has signed', async () => {
    const file = join(directory, 'twice.bin');
    writeFileSync(file, 'twice');
    const row = await upload(client, file, {
      model: 'M-7',
      version: 'v1.3',
      kind: 'firmware',
      release_notes: '',
    });
    const key = await openSigningKey(readPem(released));
    const signature = key.sign(await client.postForBytes(`/firmware/${row.id}/publish`));
    const signatures = [signature, { ...signature, sig: '00'.repeat(64) }, signature];
    expect((await sky.api('POST', `/firmware/${row.id}/publish`, { signatures })).status).toBe(200);
    expect(await find('M-7/v1.3.bin')).toBeDefined();
  });

  it('gives a model a role of its own, and what was released for it moves there', async () => {
    const { keyFile = '' } = await delegateModel(options, 'M-7');
    // Meanwhile, by the role that has the model until then.
    await release('M-7', 'v1.4', released);
    await push();
    for (const version of ['v1', 'v1.2', 'v1.4']) expect(await find(`M-7/${version}.bin`)).toBeDefined();
    const sha256 = await release('M-7', 'v2', keyFile);
    expect(await find('M-7/v2.bin')).toBe(sha256);
    const { keyFile: fresh = '' } = await delegateModel(options, 'NEW-1');
    await push();
    await release('NEW-1', 'v1', fresh);
    expect(await find('NEW-1/v1.bin')).toBeDefined();
    // Its very first release, between the two.
    await delegateModel(options, 'NEW-2');
    await release('NEW-2', 'v1', released);
    await push();
    expect(await find('NEW-2/v1.bin')).toBeDefined();
  });

  it('follows new root and targets keys, and a new online key once the Worker has it', async () => {
    await rotateRoot(options);
    await push();
    await rotateTargets(options);
    await push();
    expect(await find('TX-100/v2.bin')).toBeDefined();
    await rotateOnline(options, false);
    await push();
    expect(await find('TX-100/v2.bin')).toBeDefined();
    await rotateOnline(options, true);
    // The Worker still has the old one.
    await expect(push()).rejects.toThrow(/does not name the online key/);
    expect(await find('TX-100/v2.bin')).toBeDefined();
  });

  it('tells how long it is good', async () => {
    const { body } = await sky.api('GET', '/metrics');
    expect(String(body.text)).toMatch(/skylark_tuf_seconds_left\{role="timestamp"\} 60[34]\d{3}/);
    expect(String(body.text)).toMatch(/skylark_tuf_seconds_left\{role="M-7"\} \d+/);
  });
});
