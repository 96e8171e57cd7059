/** The API as the CLI uses it: errors become sentences, lists are read to their end. */
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';

/** The command failed; the message is for the person or the log. Exit code 1. */
export class CommandFailed extends Error {}
/** The command was not understood or something it needs is missing. Exit code 2. */
export class WrongUsage extends Error {}

const problem = z.object({
  title: z.string(),
  detail: z.string().optional(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
});

const REQUEST_MS = 60_000;
/** Several parts of an upload share a line that may be slow. */
const BYTES_MS = 600_000;
const TRIES = 5;

/** An answer that is not 2xx. */
export class ApiError extends CommandFailed {
  readonly status: number;
  /** The server says which fields of the input are wrong. */
  readonly isWrongInput: boolean;

  constructor(status: number, text: string) {
    super(explain(status, text));
    this.status = status;
    this.isWrongInput = status === 422 && (problemIn(text)?.errors ?? []).length > 0;
  }
}

export class ApiClient {
  /** The server's, without a slash at the end. */
  readonly url: string;
  readonly #key: string;

  constructor(url: string, key: string) {
    this.url = url.replace(/\/$/, '');
    this.#key = key;
  }

  get<Value>(path: string, shape: z.ZodType<Value>): Promise<Value> {
    return this.#json('GET', path, shape);
  }

  /** `patienceMs`: how long the answer may take. */
  post<Value>(path: string, shape: z.ZodType<Value>, body?: object, patienceMs = REQUEST_MS): Promise<Value> {
    return this.#json('POST', path, shape, body, patienceMs);
  }

  put<Value>(path: string, shape: z.ZodType<Value>, body: object): Promise<Value> {
    return this.#json('PUT', path, shape, body);
  }

  /** Posts what makes a new thing each time: tried again after a lost answer, it is made once. */
  create<Value>(path: string, shape: z.ZodType<Value>, body: object): Promise<Value> {
    return this.#json('POST', path, shape, body, REQUEST_MS, { 'Idempotency-Key': crypto.randomUUID() });
  }

  /** Posts a text of some media type. */
  async postText<Value>(path: string, shape: z.ZodType<Value>, body: string, type: string): Promise<Value> {
    const response = await this.#send('POST', path, { body, headers: { 'Content-Type': type } });
    return shape.parse(await response.json());
  }

  async delete(path: string): Promise<void> {
    await this.#send('DELETE', path, {});
  }

  /** Bytes out of a POST without a body. */
  async postForBytes(path: string): Promise<Uint8Array> {
    return new Uint8Array(await (await this.#send('POST', path, {})).arrayBuffer());
  }

  /** Puts bytes; tried again where the network or the server fails. */
  async putBytes(
    path: string,
    bytes: Uint8Array<ArrayBuffer>,
    type = 'application/octet-stream',
  ): Promise<void> {
    await this.#send('PUT', path, { body: bytes, headers: { 'Content-Type': type } }, BYTES_MS);
  }

  /** Every item of a list. */
  async list<Item>(path: string, item: z.ZodType<Item>): Promise<Item[]> {
    const shape = z.object({ items: z.array(item), next_cursor: z.string().nullable() });
    const items: Item[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const separator = path.includes('?') ? '&' : '?';
      const more: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: z.infer<typeof shape> = await this.get(`${path}${separator}limit=200${more}`, shape);
      items.push(...page.items);
      cursor = page.next_cursor;
    }
    return items;
  }

  async #json<Value>(
    method: string,
    path: string,
    shape: z.ZodType<Value>,
    body?: object,
    patienceMs = REQUEST_MS,
    headers: Record<string, string> = {},
  ): Promise<Value> {
    const response = await this.#send(
      method,
      path,
      body === undefined
        ? { headers }
        : { body: JSON.stringify(body), headers: { ...headers, 'Content-Type': 'application/json' } },
      patienceMs,
    );
    return shape.parse(await response.json());
  }

  /** Network failures and 5xx are tried again: everything the CLI sends may be sent twice. */
  async #send(method: string, path: string, init: RequestInit, patienceMs = REQUEST_MS): Promise<Response> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const response = await fetch(`${this.url}/api/v1${path}`, {
          ...init,
          method,
          headers: { ...init.headers, Authorization: `Bearer ${this.#key}` },
          signal: AbortSignal.timeout(patienceMs),
        });
        if (response.ok) return response;
        const error = new ApiError(response.status, await response.text());
        if (response.status < 500 || attempt === TRIES) throw error;
      } catch (error) {
        if (error instanceof ApiError) throw error;
        if (attempt === TRIES) throw new CommandFailed(`${this.url} cannot be reached: ${reason(error)}`);
      }
      await wait(Math.random() * 250 * 2 ** attempt);
    }
  }
}

function explain(status: number, text: string): string {
  const said = problemIn(text);
  if (said === undefined) return `the server answered ${status}`;
  const fields = (said.errors ?? []).map(({ field, message }) => `\n  ${field}: ${message}`).join('');
  return `${said.title}${said.detail === undefined ? '' : `: ${said.detail}`}${fields}`;
}

function problemIn(text: string): z.infer<typeof problem> | undefined {
  try {
    return problem.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function reason(error: unknown): string {
  if (error instanceof Error && error.cause instanceof Error)
    return error.cause.message || String(error.cause);
  return error instanceof Error ? error.message : String(error);
}
