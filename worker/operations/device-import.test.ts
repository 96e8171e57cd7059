import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readDevices, textOf } from './device-import.ts';

const quote = (field: string) => `"${field.replaceAll('"', '""')}"`;

describe('a CSV file of devices', () => {
  it('is read with columns in any order, quotes, a BOM and Windows line ends', () => {
    const text =
      '\ufeffmodel,tags,serial_no,group,metadata.site\r\nTX-100,"a;b",D1,"lab, north","say ""hi"""\r\n\r\nTX-100,,D2,,\r\n';
    expect(readDevices(text)).toEqual({
      errors: [],
      lines: [
        {
          line: 2,
          device: {
            serial_no: 'D1',
            model: 'TX-100',
            group: 'lab, north',
            tags: ['a', 'b'],
            metadata: { site: 'say "hi"' },
          },
        },
        { line: 4, device: { serial_no: 'D2', model: 'TX-100' } },
      ],
    });
  });

  it('has its bad lines named, each with the field, and the good ones taken', () => {
    const { lines, errors } = readDevices('serial_no,model\nD1,TX\nD/2,TX\nD3\nD1,TX\n,TX\n');
    expect(lines.map(({ line }) => line)).toEqual([2]);
    expect(errors.map(({ line, field }) => [line, field])).toEqual([
      [3, 'serial_no'],
      [4, ''],
      [5, 'serial_no'],
      [6, 'serial_no'],
    ]);
    expect(errors[2]?.message).toContain('line 2');
  });

  it('has one line named for a quote or a character that does not belong there, and the others taken', () => {
    const text = 'serial_no,model,metadata.site\nD"1,TX,\n"D"2,TX,\nD3,TX,a\0b\nD4,TX,"a ""b"""\n';
    const { lines, errors } = readDevices(text);
    expect(errors.map(({ line, field }) => [line, field])).toEqual([
      [2, 'serial_no'],
      [3, 'serial_no'],
      [4, 'metadata'],
    ]);
    expect(lines).toEqual([
      { line: 5, device: { serial_no: 'D4', model: 'TX', metadata: { site: 'a "b"' } } },
    ]);
  });

  it('is refused where it is not UTF-8', () => {
    expect(() => textOf(new Uint8Array([0x44, 0xe4]).buffer)).toThrow();
    expect(textOf(new Uint8Array([0x44, 0xc3, 0xa4]).buffer)).toBe('Dä');
  });

  it.each([
    ['nothing', ''],
    ['no header it needs', 'D1,TX-100\nD2,TX-100\n'],
    ['a column nobody knows', 'serial_no,model,colour\nD1,TX,red\n'],
    ['a column twice', 'serial_no,model,model\nD1,TX,TX\n'],
    ['a quote that never ends', 'serial_no,model\n"D1,TX\n'],
  ])('is refused as a whole: %s', (_what, text) => {
    expect(() => readDevices(text)).toThrow();
  });

  it('is read back as it was written, whatever people put into groups', () => {
    const group = fc
      .string({ minLength: 1, maxLength: 30 })
      .filter((s) => /^[^\p{Cc}]*$/u.test(s) && s.trim() !== '');
    fc.assert(
      fc.property(fc.array(group, { maxLength: 20 }), (groups) => {
        const rows = groups.map((name, i) => `D${i},TX,${quote(name)}`);
        const { lines, errors } = readDevices(['serial_no,model,group', ...rows].join('\r\n'));
        expect(errors).toEqual([]);
        expect(lines.map(({ device }) => device.group)).toEqual(groups.map((name) => name.trim()));
      }),
    );
  });
});
