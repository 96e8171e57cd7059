/**
 * A client that costs next to nothing: node's own and fetch are busy with each piece, and would be what is measured
 * on both sides. One kept connection; answers must name their `Content-Length`; the bytes are counted and forgotten.
 */
import { once } from 'node:events';
import { connect } from 'node:net';

const PIECE_BYTES = 1024 * 1024;

export interface HttpClient {
  /** Sends a GET, and answers how many bytes its answer carried. Throws where that is not 200 or 206. */
  get(path: string, range?: { offset: number; length: number }): Promise<number>;
  close(): void;
}

/** Connects to where a URL points; `get` takes paths on it. */
export async function openClient(url: string): Promise<HttpClient> {
  const { hostname, port, host } = new URL(url);
  const answer = new Answer();
  const onread = {
    buffer: Buffer.allocUnsafe(PIECE_BYTES),
    callback(length: number, piece: Uint8Array) {
      answer.take(piece.subarray(0, length));
      return true;
    },
  };
  const socket = connect({ host: hostname, port: Number(port), onread });
  socket.on('error', (error) => answer.fail(error)).on('close', () => answer.fail(new Error('cut off')));
  await once(socket, 'connect');
  return {
    get(path, range) {
      const lines = [`GET ${path} HTTP/1.1`, `Host: ${host}`];
      if (range !== undefined) lines.push(`Range: bytes=${range.offset}-${range.offset + range.length - 1}`);
      socket.write(`${lines.join('\r\n')}\r\n\r\n`);
      return answer.next();
    },
    close: () => void socket.destroy(),
  };
}

/** One answer after the other, as its bytes come. */
class Answer {
  #head = Buffer.alloc(0);
  #length: number | undefined;
  #left = 0;
  #done: { resolve: (bytes: number) => void; reject: (error: Error) => void } | undefined;

  next(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#done = { resolve, reject };
    });
  }

  take(piece: Uint8Array): void {
    if (this.#length === undefined) this.#takeHead(piece);
    else this.#left -= piece.byteLength;
    if (this.#length === undefined || this.#left > 0) return;
    const [length, done] = [this.#length, this.#done];
    [this.#head, this.#length, this.#done] = [Buffer.alloc(0), undefined, undefined];
    done?.resolve(length);
  }

  fail(error: Error): void {
    this.#done?.reject(error);
  }

  #takeHead(piece: Uint8Array): void {
    this.#head = Buffer.concat([this.#head, piece]);
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#head.toString('latin1', 0, end);
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    if (!/^HTTP\/1.1 20[06] /.test(head) || length === undefined) {
      this.fail(new Error(`unexpected answer: ${head}`));
      return;
    }
    this.#length = Number(length);
    this.#left = this.#length - (this.#head.length - end - 4);
  }
}
