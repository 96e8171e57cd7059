/** A file as it comes in: hashed and put into R2 piece by piece, never held whole. */
import { hex } from '../../durable-objects/releases/digest.ts';
import {
  dropParts,
  nameBytes,
  type Piece,
  partKey,
  placeForParts,
} from '../../durable-objects/releases/stored-bytes.ts';
import { objectKey } from '../../store/firmware.ts';
import { PART_BYTES, underHash } from '../operations/objects.ts';

/** There were more bytes than may be. */
export class TooLarge extends Error {}

export interface ReceivedFile {
  sha256: string;
  size: number;
  /** Keeps it under its hash, once; again only where what lies there is damaged. */
  keep(damaged: boolean): Promise<void>;
  /** Leaves nothing behind but what was kept. */
  discard(): Promise<void>;
}

/** Takes a file in. Throws {@link TooLarge}, and then nothing is left of it. */
export async function receiveFile(
  bucket: R2Bucket,
  body: AsyncIterable<Uint8Array>,
  most: number,
): Promise<ReceivedFile> {
  const parts = new Parts(bucket);
  const digest = new crypto.DigestStream('SHA-256');
  const hasher = digest.getWriter();
  try {
    let size = 0;
    for await (const piece of body) {
      size += piece.byteLength;
      if (size > most) throw new TooLarge();
      await hasher.write(piece);
      await parts.add(piece);
    }
    await hasher.close();
    return await parts.end(hex(await digest.digest), size);
  } catch (error) {
    digest.digest.catch(() => undefined);
    await parts.abort();
    throw error;
  }
}

/** Pieces collected to parts of one size. A single part goes to its place at once. */
class Parts {
  readonly #bucket: R2Bucket;
  readonly #prefix = placeForParts();
  readonly #pieces: Piece[] = [];
  #part = new Uint8Array(PART_BYTES);
  #filled = 0;

  constructor(bucket: R2Bucket) {
    this.#bucket = bucket;
  }

  async add(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.byteLength; ) {
      if (this.#filled === PART_BYTES) await this.#send();
      const take = Math.min(PART_BYTES - this.#filled, piece.byteLength - at);
      this.#part.set(piece.subarray(at, at + take), this.#filled);
      this.#filled += take;
      at += take;
    }
  }

  async end(sha256: string, size: number): Promise<ReceivedFile> {
    const bucket = this.#bucket;
    if (this.#pieces.length === 0) {
      const bytes = this.#part.slice(0, this.#filled);
      const keep = async (damaged: boolean) =>
        void (await bucket.put(objectKey(sha256), bytes, underHash(sha256, damaged)));
      return { sha256, size, keep, discard: async () => undefined };
    }
    await this.#send();
    const keep = (damaged: boolean) => nameBytes(bucket, sha256, { size, pieces: this.#pieces }, damaged);
    return { sha256, size, keep, discard: () => dropParts(bucket, this.#prefix, sha256) };
  }

  async abort(): Promise<void> {
    if (this.#pieces.length > 0) await this.#bucket.delete(this.#pieces.map(({ key }) => key));
  }

  async #send(): Promise<void> {
    const key = partKey(this.#prefix, this.#pieces.length + 1);
    await this.#bucket.put(key, this.#part.subarray(0, this.#filled));
    this.#pieces.push({ key, size: this.#filled });
    this.#filled = 0;
  }
}
