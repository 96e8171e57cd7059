/** The device's own page, for whoever stands beside it: how it is, and its settings. Listens on loopback by default. */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { html } from 'hono/html';
import type { OtaUpdate } from '../protocol/messages.ts';
import type { Answer } from './question.ts';
import type { UpdateRecord } from './update-record.ts';

export interface DeviceView {
  serial_no: string;
  model: string;
  version: string;
  connected: boolean;
  update: UpdateRecord | undefined;
  /** When what is ready is installed unless somebody postpones it, Unix milliseconds. */
  asked_until: number | undefined;
  /** What was downloaded and waits to be installed. */
  kept: OtaUpdate | undefined;
  settings: Record<string, string>;
}

export interface LocalPage {
  port: number;
  close(): Promise<void>;
}

interface Device {
  look(): DeviceView;
  change(values: Record<string, string>): void;
  /** What whoever stands beside it says of an update that waits. Throws a sentence where that cannot be. */
  answer(said: Answer): Promise<void>;
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
    const answer = form.get('answer');
    if (answer === 'now' || answer === 'later') {
      try {
        await device.answer(answer);
      } catch (error) {
        return refuse(response, 503, `Not now: ${error instanceof Error ? error.message : String(error)}`);
      }
      response.writeHead(303, { Location: '/' }).end();
      return;
    }
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
${waiting(view, token)}
<h2>Settings</h2><form method="post" action="/"><input type="hidden" name="token" value="${token}">
${Object.entries(view.settings).map(([key, value]) => html`<p><label>${key} <input name="${key}" value="${value}"></label></p>`)}
<button>Save</button></form></html>`;
}

/** What may be said of an update that waits. */
function waiting({ update, asked_until, kept }: DeviceView, token: string) {
  if (asked_until !== undefined) {
    return question(`${update?.command.version} is ready. It is installed at ${time(asked_until)}.`, token, [
      'now',
      'later',
    ]);
  }
  if (update?.phase === 'postponed') {
    const { agreed, until = 0, command } = update;
    if (agreed === true) return html`<p>${command.version} is installed as soon as Skylark allows it.</p>`;
    return question(`${command.version} is postponed until ${time(until * 1000)}.`, token, ['now']);
  }
  if (update === undefined && kept !== undefined) {
    return question(`${kept.version} is downloaded and waits to be installed.`, token, ['now']);
  }
  return '';
}

const question = (words: string, token: string, answers: readonly Answer[]) =>
  html`<h2>Ready to install</h2><form method="post" action="/"><input type="hidden" name="token" value="${token}"><p>${words}</p>
${answers.map((answer) => html`<button name="answer" value="${answer}">${ANSWERS[answer]}</button> `)}</form>`;

const ANSWERS: Record<Answer, string> = { now: 'Install now', later: 'Later' };

/** `20 Nov 2026, 12:34 UTC`: devices have no idea where they stand. */
const time = (at: number): string =>
  `${new Date(at).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' })} UTC`;

const same = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

function refuse(response: ServerResponse, status: number, words: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain' }).end(words);
}
