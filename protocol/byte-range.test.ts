import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseByteRange } from './byte-range.ts';

describe('the Range header (RFC 9110 §14)', () => {
  it.each([
    ['bytes=0-0', { kind: 'part', offset: 0, length: 1 }],
    ['bytes=0-', { kind: 'part', offset: 0, length: 100 }],
    ['bytes=10-19', { kind: 'part', offset: 10, length: 10 }],
    ['bytes=90-200', { kind: 'part', offset: 90, length: 10 }],
    ['bytes=-5', { kind: 'part', offset: 95, length: 5 }],
    ['bytes=-500', { kind: 'part', offset: 0, length: 100 }],
    ['Bytes=99-', { kind: 'part', offset: 99, length: 1 }],
    ['bytes=100-', { kind: 'unsatisfiable' }],
    ['bytes=101-102', { kind: 'unsatisfiable' }],
    ['bytes=-0', { kind: 'unsatisfiable' }],
    ['bytes=5-1', { kind: 'full' }],
    ['bytes=0-1,3-4', { kind: 'full' }],
    ['items=0-1', { kind: 'full' }],
    ['bytes=-', { kind: 'full' }],
    ['bytes=a-b', { kind: 'full' }],
    ['bytes=1 - 2', { kind: 'full' }],
    ['bytes = 1-2', { kind: 'full' }],
    ['', { kind: 'full' }],
    [undefined, { kind: 'full' }],
  ])('%s of 100 bytes', (header, expected) => {
    expect(parseByteRange(header, 100)).toEqual(expected);
  });

  it('never reaches outside what there is, whatever is sent', () => {
    const header = fc.oneof(fc.string(), fc.stringMatching(/^bytes=\d{0,20}-\d{0,20}$/));
    fc.assert(
      fc.property(header, fc.nat({ max: 1e9 }), (text, size) => {
        const range = parseByteRange(text, size);
        if (range.kind !== 'part') return;
        expect(range.offset).toBeGreaterThanOrEqual(0);
        expect(range.length).toBeGreaterThan(0);
        expect(range.offset + range.length).toBeLessThanOrEqual(size);
      }),
    );
  });
});
