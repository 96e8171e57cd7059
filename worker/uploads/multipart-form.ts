/** `multipart/form-data` (RFC 7578) read as a stream: what a form carries may be larger than memory. */

/** The body is no form, or ends in the middle. */
export class BrokenForm extends Error {}

export interface FormPart {
  name: string;
  /** Set where the part is a file. */
  filename: string | undefined;
  /** To be read to its end before the next part comes. */
  body: AsyncGenerator<Uint8Array>;
}

const MAX_HEAD_BYTES = 16 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');

/** The boundary out of a `Content-Type`; `undefined` where that is no form's. */
export function boundaryOf(contentType: string | undefined): string | undefined {
  const match = /^multipart\/form-data\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))/i.exec(
    contentType ?? '',
  );
  return match?.[1] ?? match?.[2];
}

/** The form's parts in their order; whoever takes no more of them has the sender heard out. Throws {@link BrokenForm}. */
export async function* readForm(
  body: ReadableStream<Uint8Array>,
  boundary: string,
): AsyncGenerator<FormPart> {
  const source = new Source(body);
  try {
    const delimiter = Buffer.from(`\r\n--${boundary}`);
    // What stands before the first delimiter means nothing.
    for await (const _ of source.until(delimiter));
    while (!(await source.isLast())) {
      const head = await source.head();
      const rest = source.until(delimiter);
      yield { ...namesOf(head), body: rest };
      for await (const _ of rest);
    }
  } finally {
    await source.close();
  }
}

/** Bytes that have come and were not taken yet. */
class Source {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  // The first delimiter stands at the very start, without the line break of the others.
  #buffer = Buffer.from('\r\n');

  constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.getReader();
  }

  /** What comes before a delimiter, in pieces; afterwards the delimiter is gone too. */
  async *until(delimiter: Buffer): AsyncGenerator<Uint8Array> {
    for (;;) {
      const at = this.#buffer.indexOf(delimiter);
      if (at >= 0) {
        const last = this.#buffer.subarray(0, at);
        this.#buffer = this.#buffer.subarray(at + delimiter.length);
        if (last.length > 0) yield last;
        return;
      }
      // A delimiter may have begun at the end of what is here.
      const sure = Math.max(0, this.#buffer.length - delimiter.length + 1);
      const piece = this.#buffer.subarray(0, sure);
      this.#buffer = this.#buffer.subarray(sure);
      if (piece.length > 0) yield piece;
      await this.#more();
    }
  }

  /** Whether the delimiter that was just read was the last one. */
  async isLast(): Promise<boolean> {
    while (this.#buffer.length < 2) await this.#more();
    return this.#buffer.subarray(0, 2).equals(Buffer.from('--'));
  }

  /** A part's header lines. */
  async head(): Promise<string> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of this.until(HEAD_END)) {
      pieces.push(piece);
      length += piece.length;
      if (length > MAX_HEAD_BYTES) throw new BrokenForm('the header of a field is too long');
    }
    return Buffer.concat(pieces).toString('utf8');
  }

  /** Takes the rest: who is still sending does not listen yet, and would only see the connection break. */
  async close(): Promise<void> {
    try {
      while (!(await this.#reader.read()).done);
    } catch {
      // Hung up: nobody listens.
    }
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#reader.read().catch(() => {
      throw new BrokenForm('the connection broke');
    });
    if (done) throw new BrokenForm('the form ends in the middle');
    this.#buffer = this.#buffer.length === 0 ? Buffer.from(value) : Buffer.concat([this.#buffer, value]);
  }
}

function namesOf(head: string): { name: string; filename: string | undefined } {
  const line = head.split('\r\n').find((text) => /^content-disposition\s*:/i.test(text)) ?? '';
  const name = parameter(line, 'name');
  if (name === undefined) throw new BrokenForm('a field has no name');
  return { name, filename: parameter(line, 'filename') };
}

/** Quotes and line breaks inside are percent-encoded, as browsers do (WHATWG HTML, multipart form data). */
function parameter(line: string, key: string): string | undefined {
  const all = [...line.matchAll(/;\s*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/g)];
  const match = all.find(([, name]) => name?.toLowerCase() === key);
  return (match?.[2] ?? match?.[3])
    ?.replace(/%22/gi, '"')
    .replace(/%0D/gi, '\r')
    .replace(/%0A/gi, '\n')
    .replace(/\\"/g, '"');
}
