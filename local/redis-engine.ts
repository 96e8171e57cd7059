/** A Redis without Redis: `ioredis-mock` as the engine behind enough of the RESP2 protocol for real clients. */

import { createRequire } from 'node:module';
import { createServer, type Socket } from 'node:net';
import { runPart } from './part-process.ts';

const require = createRequire(import.meta.url);
/** Both are plain CommonJS without types of their own for this use. */
const Engine: new (options: object) => Engine = require('ioredis-mock');
const Parser: new (options: {
  returnReply(reply: unknown): void;
  returnError(error: Error): void;
  returnFatalError(error: Error): void;
}) => { execute(data: Buffer): void } = require('redis-parser');

/** One method a command, by its name in lower case. */
type Engine = Record<string, ((...args: string[]) => Promise<unknown>) | undefined>;

/** Serves the engine on a port of the loopback interface. */
export function serveEngine(port: number): Promise<{ port: number; close(): Promise<void> }> {
  const engine = new Engine({ data: {} });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const connection = new Connection(engine);
    let turn = Promise.resolve();
    const parser = new Parser({
      returnReply: (request) => {
        turn = turn.then(async () => {
          socket.write(await connection.answer(request));
        });
      },
      returnError: (error) => socket.end(`-ERR ${error.message}\r\n`),
      returnFatalError: (error) => socket.end(`-ERR ${error.message}\r\n`),
    });
    socket.on('data', (data) => parser.execute(data));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      const close = () =>
        new Promise<void>((done) => {
          for (const socket of sockets) socket.destroy();
          server.close(() => done());
        });
      resolve({ port: typeof address === 'object' && address !== null ? address.port : port, close });
    });
  });
}

/** One client's connection: it may be in the middle of a transaction. */
class Connection {
  readonly #engine: Engine;
  #queued: string[][] | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async answer(request: unknown): Promise<string> {
    if (!Array.isArray(request) || request.length === 0) return '-ERR Protocol error\r\n';
    const words = request.map(String);
    const name = words[0]?.toLowerCase();
    if (name === 'multi') {
      this.#queued = [];
      return '+OK\r\n';
    }
    if (name === 'exec' || name === 'discard') {
      const queued = this.#queued;
      this.#queued = undefined;
      if (queued === undefined) return `-ERR ${name.toUpperCase()} without MULTI\r\n`;
      if (name === 'discard') return '+OK\r\n';
      const answers: string[] = [];
      for (const one of queued) answers.push(await perform(this.#engine, one));
      return `*${answers.length}\r\n${answers.join('')}`;
    }
    if (this.#queued === undefined) return perform(this.#engine, words);
    this.#queued.push(words);
    return '+QUEUED\r\n';
  }
}

async function perform(engine: Engine, [command = '', ...args]: readonly string[]): Promise<string> {
  const name = command.toLowerCase();
  switch (name) {
    case 'ping':
      return args[0] === undefined ? '+PONG\r\n' : encode(args[0]);
    case 'info':
      return encode('# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\nloading:0\r\n');
    case 'client':
    case 'select':
      return '+OK\r\n';
    case 'hello':
      return '-NOPROTO unsupported protocol version\r\n';
  }
  const method = /^[a-z]+$/.test(name) ? engine[name] : undefined;
  if (typeof method !== 'function') return `-ERR unknown command '${name.replace(/[^a-z0-9_.-]/g, '?')}'\r\n`;
  try {
    return encode(await method.call(engine, ...(name === 'set' ? upperOptions(args) : args)));
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return `-${(/^[A-Z]+ /.test(text) ? text : `ERR ${text}`).replace(/[\r\n]+/g, ' ')}\r\n`;
  }
}

/** The engine knows the options of SET in upper case only; clients send either. */
const upperOptions = ([key = '', value = '', ...options]: string[]): string[] => [
  key,
  value,
  ...options.map((option) => option.toUpperCase()),
];

function encode(value: unknown): string {
  if (value === null || value === undefined) return '$-1\r\n';
  if (typeof value === 'number') return Number.isInteger(value) ? `:${value}\r\n` : encode(String(value));
  if (Array.isArray(value)) return `*${value.length}\r\n${value.map(encode).join('')}`;
  if (value === 'OK') return '+OK\r\n';
  // The engine answers hashes as objects; on the wire they are flat lists.
  if (typeof value === 'object' && !Buffer.isBuffer(value)) return encode(Object.entries(value).flat());
  const text = String(value);
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  await runPart('redis', async () => {
    const { port, close } = await serveEngine(Number(process.env.REDIS_PORT ?? 0));
    return { facts: { port }, close };
  });
}
