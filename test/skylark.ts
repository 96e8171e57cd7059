/** A whole Skylark for a test file: real parts, any free ports, a data directory that goes away. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Facts, type Platform, type PlatformOptions, startPlatform } from '../local/platform.ts';

export interface Skylark {
  facts: Facts;
  platform: Platform;
  /** Calls the API as the administrator; `body` is sent as JSON. */
  api(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  stop(): Promise<void>;
}

export interface ApiAnswer {
  status: number;
  type: string;
  // Tests look into answers of every shape.
  body: Record<string, unknown>;
}

export async function startSkylark(options: Partial<PlatformOptions> = {}): Promise<Skylark> {
  const directory = mkdtempSync(join(tmpdir(), 'skylark-test-'));
  const platform = await startPlatform({
    port: 0,
    mqttPort: 0,
    devices: 0,
    data: join(directory, 'data'),
    fresh: false,
    ...options,
  });
  const { facts } = platform;
  return {
    facts,
    platform,
    api: (method, path, body, headers = {}) => call(facts.url, facts.api_key, method, path, body, headers),
    async stop() {
      await platform.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export async function call(
  url: string,
  key: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<ApiAnswer> {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    redirect: 'manual',
  });
  const text = await response.text();
  const type = response.headers.get('Content-Type') ?? '';
  return { status: response.status, type, body: type.includes('json') ? JSON.parse(text) : { text } };
}

/** Looks again until it holds; what is outside of the test has no event to wait for. */
export async function eventually<Value>(
  what: string,
  look: () => Promise<Value | undefined | false>,
  deadlineMs = 30_000,
): Promise<Value> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`waited ${deadlineMs / 1000} s in vain for ${what}`);
    await wait(50);
  }
}
