import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canonicalBytes, envelope, SPEC_VERSION } from '../protocol/tuf.ts';
import { ApiClient } from './api-client.ts';
import { pushMetadata } from './tuf-push.ts';

const metadata = (_type: string, version: number, more: object) =>
  envelope(
    canonicalBytes({ _type, spec_version: SPEC_VERSION, version, expires: '2099-01-01T00:00:00Z', ...more }),
    [],
  );
const targets = (version: number) => metadata('targets', version, { targets: {} });

describe('pushing metadata', () => {
  let directory: string;
  let server: Server;
  let url: string;
  /** What Skylark has, by name, and what was put there. */
  let files: Map<string, Uint8Array>;
  let put: string[];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'skylark-push-'));
    const view = { 'targets.json': { version: 1 } };
    files = new Map([
      ['1.targets.json', targets(1)],
      ['5.snapshot.json', metadata('snapshot', 5, { meta: view })],
      ['timestamp.json', metadata('timestamp', 5, { meta: { 'snapshot.json': { version: 5 } } })],
    ]);
    put = [];
    server = createServer((request, response) => {
      const name = request.url?.split('/').at(-1) ?? '';
      if (request.method === 'PUT') put.push(name);
      const file = files.get(name);
      request.resume().on('end', () => response.writeHead(put.length > 0 || file ? 200 : 404).end(file));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const version of [1, 2]) writeFileSync(join(directory, `${version}.targets.json`), targets(version));
  });
  afterEach(() => {
    server.close();
    server.closeAllConnections();
    rmSync(directory, { recursive: true, force: true });
  });

  const push = () => pushMetadata(new ApiClient(url, 'key'), url, directory);

  it('hands over what is not there, once', async () => {
    expect(await push()).toEqual(['2.targets.json']);
    expect(put).toEqual(['2.targets.json']);
  });

  it('hands over again what is stored and seen by nobody: a crash came between', async () => {
    files.set('2.targets.json', targets(2));
    expect(await push()).toEqual(['2.targets.json']);
  });

  it('leaves alone what clients see, and what was published beyond', async () => {
    files.set('2.targets.json', targets(2));
    for (const version of [2, 3]) {
      files.set('5.snapshot.json', metadata('snapshot', 5, { meta: { 'targets.json': { version } } }));
      files.set('3.targets.json', targets(3));
      expect(await push()).toEqual([]);
    }
  });
});
