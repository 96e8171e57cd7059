import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BrokenForm, boundaryOf, readForm } from './multipart-form.ts';

/** The bytes in pieces of these sizes, over and over. */
function inPieces(bytes: Uint8Array, sizes: readonly number[]): ReadableStream<Uint8Array> {
  let [at, turn] = [0, 0];
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      const size = sizes[turn++ % sizes.length] ?? 1;
      controller.enqueue(bytes.slice(at, at + size));
      at += size;
    },
  });
}

async function readAll(body: ReadableStream<Uint8Array>, boundary: string) {
  const parts = [];
  for await (const { name, filename, body: bytes } of readForm(body, boundary)) {
    const pieces = [];
    for await (const piece of bytes) pieces.push(Buffer.from(piece));
    parts.push({ name, filename, bytes: Buffer.concat(pieces) });
  }
  return parts;
}

describe('a form that is streamed', () => {
  it('takes nothing inside a file name for the name of its field', async () => {
    const head = 'Content-Disposition: form-data; filename="a; name=b; name=\\"c\\".bin"; name="file"';
    const body = Buffer.from(`--x\r\n${head}\r\n\r\n1\r\n--x--\r\n`);
    expect(await readAll(inPieces(body, [7]), 'x')).toMatchObject([
      { name: 'file', filename: 'a; name=b; name="c".bin' },
    ]);
  });

  it('comes out as it went in, wherever the network cuts it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 }),
        async (files, sizes) => {
          const form = new FormData();
          form.set('version', 'v1 – "ü"\r\nb');
          for (const [i, file] of files.entries())
            form.append('file', new File([new Uint8Array(file), '\r\n--'], `a"${i}.bin`));
          const request = new Response(form);
          const boundary = boundaryOf(request.headers.get('Content-Type') ?? '') ?? '';
          const bytes = new Uint8Array(await request.arrayBuffer());
          const parts = await readAll(inPieces(bytes, sizes), boundary);
          expect(parts.map((part) => [part.name, part.filename])).toEqual([
            ['version', undefined],
            ...files.map((_, i) => ['file', `a"${i}.bin`]),
          ]);
          expect(parts[0]?.bytes.toString()).toBe('v1 – "ü"\r\nb');
          expect(parts.slice(1).map((part) => part.bytes)).toEqual(
            files.map((file) => Buffer.concat([file, Buffer.from('\r\n--')])),
          );
        },
      ),
      { numRuns: 50 },
    );
  });

  it.each([
    '',
    '--x\r\n',
    '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nhalf',
    '--x\r\nA: b\r\n\r\n\r\n--x--',
  ])('is refused when it is broken: %j', async (text) => {
    await expect(readAll(inPieces(new TextEncoder().encode(text), [7]), 'x')).rejects.toThrow(BrokenForm);
  });

  it('is refused as broken where the connection breaks', async () => {
    const breaks = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error('cut')),
    });
    await expect(readAll(breaks, 'x')).rejects.toThrow(BrokenForm);
  });

  it('is read to its end where the rest is not wanted, so that its sender is heard out', async () => {
    const text = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nmuch\r\n--x--';
    let isRead = false;
    const whole = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode(text.slice(0, 50))),
      pull(controller) {
        controller.enqueue(new TextEncoder().encode(text.slice(50)));
        controller.close();
        isRead = true;
      },
    });
    for await (const part of readForm(whole, 'x')) {
      expect(part.name).toBe('a');
      break;
    }
    expect(isRead).toBe(true);
  });

  it('is known by its boundary', () => {
    expect(boundaryOf('multipart/form-data; boundary=abc')).toBe('abc');
    expect(boundaryOf('Multipart/Form-Data; charset=utf-8; boundary="a b"')).toBe('a b');
    for (const other of ['application/json', 'multipart/form-data', undefined, 'multipart/mixed; boundary=a'])
      expect(boundaryOf(other)).toBeUndefined();
  });
});
