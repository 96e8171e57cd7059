/** What bytes cost without any of us: nginx with sendfile where it is installed, else a file stream of node:http. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSocket } from 'node:net';
import { basename, delimiter, join } from 'node:path';
import { parseByteRange } from '../../protocol/byte-range.ts';
import { eventually } from '../../test/skylark.ts';

export interface StaticServer {
  url: string;
  /** What it is, for the report: a ratio to node:http says less than one to nginx. */
  name: string;
  stop(): Promise<void>;
}

/** Serves the files of a directory by their names. */
export async function serveDirectory(directory: string): Promise<StaticServer> {
  const nginx = `${process.env.PATH}${delimiter}/usr/sbin`
    .split(delimiter)
    .map((place) => join(place, 'nginx'))
    .find((file) => existsSync(file));
  return nginx === undefined ? serveByNode(directory) : serveByNginx(nginx, directory);
}

async function serveByNginx(nginx: string, directory: string): Promise<StaticServer> {
  const [port, own] = [await freePort(), join(directory, '.nginx')];
  mkdirSync(own);
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const lines = [
    'daemon off; master_process off; worker_processes 1;',
    `error_log ${own}/error.log; pid ${own}/pid;`,
    'events { worker_connections 256; }',
    'http { access_log off; sendfile on; tcp_nopush on;',
    ...places.map((place) => `${place}_temp_path ${own}/${place};`),
    `server { listen 127.0.0.1:${port}; root ${directory}; } }`,
  ];
  writeFileSync(join(own, 'conf'), lines.join('\n'));
  const child = spawn(nginx, ['-p', own, '-c', join(own, 'conf'), '-e', join(own, 'error.log')], {
    stdio: 'ignore',
  });
  const url = `http://127.0.0.1:${port}`;
  await eventually('nginx to listen', () => isThere(url));
  return { url, name: 'nginx with sendfile', stop: () => ended(child) };
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill();
  await exit;
}

async function serveByNode(directory: string): Promise<StaticServer> {
  const server = createServer((request, response) => {
    const file = join(directory, basename(request.url ?? ''));
    const { size } = statSync(file);
    const range = parseByteRange(request.headers.range, size);
    const [start, length] = range.kind === 'part' ? [range.offset, range.length] : [0, size];
    response.writeHead(range.kind === 'part' ? 206 : 200, { 'Content-Length': length });
    createReadStream(file, { start, end: start + length - 1, highWaterMark: 512 * 1024 }).pipe(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    name: 'node:http with a file stream (nginx is not installed)',
    async stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function freePort(): Promise<number> {
  const socket = createSocket().listen(0, '127.0.0.1');
  await once(socket, 'listening');
  const address = socket.address();
  socket.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const isThere = (url: string): Promise<boolean> =>
  fetch(url).then(
    () => true,
    () => false,
  );
