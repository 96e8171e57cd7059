import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareVersions, inRange, parseVersion, parseVersionRange, sameVersion } from './version.ts';

const part = fc.integer({ min: 0, max: 999 });
const identifier = fc.oneof(part.map(String), fc.stringMatching(/^[a-z][a-z0-9-]{0,5}$/));
const version = fc
  .tuple(
    fc.constantFrom('', 'v'),
    fc.array(part, { minLength: 1, maxLength: 4 }),
    fc.array(identifier, { maxLength: 3 }),
  )
  .map(([v, numbers, pre]) => `${v}${numbers.join('.')}${pre.length === 0 ? '' : `-${pre.join('.')}`}`);

describe('the order of versions', () => {
  it('is that of Semantic Versioning', () => {
    const inOrder = [
      '1.0.0-alpha',
      '1.0.0-alpha.1',
      '1.0.0-alpha.beta',
      '1.0.0-beta',
      '1.0.0-beta.2',
      '1.0.0-beta.11',
      '1.0.0-rc.1',
      '1.0.0',
      '1.0.1',
      '1.10.0',
      '2.0.0',
    ];
    const shuffled = [...inOrder].reverse();
    expect(shuffled.sort(compareVersions)).toEqual(inOrder);
  });

  it.each([
    ['v1.1', '1.1.0'],
    ['1.1.0', 'V1.1.0.0'],
    ['1.1.0+build7', '1.1.0'],
  ])('takes %s and %s for the same', (a, b) => {
    expect(sameVersion(a, b)).toBe(true);
  });

  it('tells a four-part version from its three-part base', () => {
    expect(compareVersions('v1.2.3.1', 'v1.2.3')).toBeGreaterThan(0);
  });

  it('is total: antisymmetric and transitive for anything devices may say', () => {
    const anything = fc.oneof(version, fc.string({ maxLength: 8 }));
    fc.assert(
      fc.property(anything, anything, anything, (a, b, c) => {
        expect(Math.sign(compareVersions(a, b)) + Math.sign(compareVersions(b, a))).toBe(0);
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0)
          expect(compareVersions(a, c)).toBeLessThanOrEqual(0);
      }),
    );
  });

  it('refuses what is no version', () => {
    for (const text of ['', 'v', 'latest', '1.2.3.4.5', '1..2', '1.2-', 'v1.0 '])
      expect(parseVersion(text)).toBeUndefined();
  });
});

describe('a version range', () => {
  it.each([
    ['< v1.1.0', 'v1.0.9', true],
    ['< v1.1.0', 'v1.1.0', false],
    ['< v1.1.0', 'v1.1.0-rc.1', true],
    ['<=1.1', 'v1.1.0', true],
    ['>= v1.0.0 < v2.0.0', 'v1.9', true],
    ['>= v1.0.0, < v2.0.0', 'v2.0.0', false],
    ['v1.1.0', '1.1', true],
    ['!= 1.1.0', '1.1', false],
  ])('%s and %s: %s', (text, candidate, holds) => {
    const range = parseVersionRange(text);
    expect(range).toBeDefined();
    expect(inRange(candidate, range ?? [])).toBe(holds);
  });

  it('refuses what is none', () => {
    for (const text of ['', '<', '< latest', '1.0 ||2.0', '>< 1.0', '~1.0'])
      expect(parseVersionRange(text)).toBeUndefined();
  });

  it('holds no device whose version nobody understands', () => {
    expect(inRange('unknown', parseVersionRange('< v9.0.0') ?? [])).toBe(false);
  });

  it('agrees with the order', () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        expect(inRange(a, parseVersionRange(`< ${b}`) ?? [])).toBe(compareVersions(a, b) < 0);
        expect(inRange(a, parseVersionRange(`>=${b}`) ?? [])).toBe(compareVersions(a, b) >= 0);
      }),
    );
  });
});
