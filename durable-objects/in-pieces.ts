/**
 * A stream in pieces of this many bytes, the last one of what is left. The runtime's own pieces are small, and each is a
 * call of its own: fewer, larger ones take a fraction of the time.
 */
export async function* inPieces(body: ReadableStream, bytes: number): AsyncGenerator<Uint8Array> {
  const reader = body.getReader({ mode: 'byob' });
  try {
    for (;;) {
      const { done, value } = await reader.readAtLeast(bytes, new Uint8Array(bytes));
      if (done) return;
      yield value;
    }
  } finally {
    reader.releaseLock();
  }
}
