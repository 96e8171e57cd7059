/** Stored bytes as one stream, whole or a part of them, from the objects in which they lie. */
import type { Piece, Place } from './stored-bytes.ts';

export interface Part {
  offset: number;
  length: number;
}

interface Cut extends Part {
  piece: Piece;
}

/** Opens the bytes, or a part of them; `undefined` where the first of them have gone. */
export async function readBytes(
  bucket: R2Bucket,
  place: Place,
  part: Part = { offset: 0, length: place.size },
): Promise<ReadableStream | undefined> {
  const [first, ...rest] = cutsOf(place, part);
  if (first === undefined) return undefined;
  const body = await open(bucket, first);
  if (body === undefined || rest.length === 0) return body;
  const { readable, writable } = new FixedLengthStream(part.length);
  void pump(bucket, body, rest, writable);
  return readable;
}

/** What to read of which object. */
function cutsOf({ pieces }: Place, { offset, length }: Part): Cut[] {
  const cuts: Cut[] = [];
  let begin = 0;
  for (const piece of pieces) {
    const from = Math.max(offset, begin);
    const to = Math.min(offset + length, begin + piece.size);
    if (to > from) cuts.push({ piece, offset: from - begin, length: to - from });
    begin += piece.size;
  }
  return cuts;
}

async function open(bucket: R2Bucket, { piece, offset, length }: Cut): Promise<ReadableStream | undefined> {
  const isWhole = offset === 0 && length === piece.size;
  const object = await bucket.get(piece.key, isWhole ? {} : { range: { offset, length } });
  return object?.body;
}

/** One after the other; what fails breaks the stream off, which whoever reads it sees. */
async function pump(
  bucket: R2Bucket,
  body: ReadableStream,
  rest: readonly Cut[],
  writable: WritableStream,
): Promise<void> {
  try {
    await body.pipeTo(writable, { preventClose: true });
    for (const cut of rest) {
      const next = await open(bucket, cut);
      if (next === undefined) throw new Error(`${cut.piece.key} has vanished from R2`);
      await next.pipeTo(writable, { preventClose: true });
    }
    await writable.close();
  } catch (error) {
    await writable.abort(error).catch(() => undefined);
  }
}
