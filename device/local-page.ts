/** The device's own page, for whoever stands beside it: how it is, and its settings. Listens on loopback by default. */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { html } from 'hono/html';
import type { UpdateRecord } from './updater.ts';

export interface DeviceView {
  serial_no: string;
  model: string;
  version: string;
  connected: boolean;
  update: UpdateRecord | undefined;
  settings: Record<string, string>;
}

export interface LocalPage {
  port: number;
  close(): Promise<void>;
}

interface Device {
  look(): DeviceView;
  change(values: Record<string, string>): void;
}

const MAX_FORM = 10_000;

/** Serves the page. Other host names than its own are refused: a website must not reach it through DNS. */
export async function serveLocalPage(
  { host, port }: { host: string; port: number },
  device: Device,
): Promise<LocalPage> {
  const token = randomBytes(16).toString('hex');
  const server = createServer((request, response) => {
    answer(request, response, host, token, device).catch(() => response.destroy());
  });
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  host: string,
  token: string,
  device: Device,
): Promise<void> {
  const asked = (request.headers.host ?? '').replace(/:\d+$/, '');
  if (![host, 'localhost', '127.0.0.1', '[::1]'].includes(asked))
    return refuse(response, 421, 'Not this host.');
  if (request.url !== '/') return refuse(response, 404, 'Nothing here.');
  if (request.method === 'POST') {
    const form = new URLSearchParams((await text(request)).slice(0, MAX_FORM));
    if (!same(form.get('token') ?? '', token)) return refuse(response, 403, 'Open the page again and retry.');
    form.delete('token');
    const known = device.look().settings;
    device.change(
      Object.fromEntries([...form].filter(([key, value]) => key in known && known[key] !== value)),
    );
    response.writeHead(303, { Location: '/' }).end();
    return;
  }
  if (request.method !== 'GET') return refuse(response, 405, 'GET or POST.');
  response
    .writeHead(200, {
      'Content-Type': 'text/html; charset=utf-8',
      'Cache-Control': 'no-store',
      'Content-Security-Policy':
        "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    })
    .end(String(await page(device.look(), token)));
}

function page(view: DeviceView, token: string) {
  const update = view.update;
  return html`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${view.serial_no}</title><h1>${view.serial_no}</h1>
<dl><dt>Model</dt><dd>${view.model}</dd><dt>Firmware</dt><dd>${view.version}</dd>
<dt>Skylark</dt><dd>${view.connected ? 'connected' : 'not connected'}</dd>
<dt>Update</dt><dd>${update === undefined ? 'none' : `${update.command.version}: ${update.phase}`}</dd></dl>
<h2>Settings</h2><form method="post" action="/"><input type="hidden" name="token" value="${token}">
${Object.entries(view.settings).map(([key, value]) => html`<p><label>${key} <input name="${key}" value="${value}"></label></p>`)}
<button>Save</button></form></html>`;
}

const same = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

function refuse(response: ServerResponse, status: number, words: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain' }).end(words);
}
