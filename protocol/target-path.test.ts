import { describe, expect, it } from 'vitest';
import { firmwareTitle, parseFirmwareTitle, targetPath } from './target-path.ts';

describe('what firmware and apps are called', () => {
  it.each([
    [{ kind: 'firmware', name: null, model: 'TX-100', version: 'v1.1.0' }, 'TX-100/v1.1.0'],
    [{ kind: 'app', name: 'maps', model: 'TX-100', version: 'v1.1.0' }, 'TX-100/maps@v1.1.0'],
    [{ kind: 'app', name: null, model: 'TX-100', version: 'v1.1.0' }, 'TX-100/@v1.1.0'],
  ] as const)('tells every kind apart, and can be read back: %o', (named, title) => {
    expect(firmwareTitle(named)).toBe(title);
    expect(targetPath(named)).toBe(`${title}.bin`);
    expect(parseFirmwareTitle(title)).toEqual(named);
  });

  it.each(['', 'v1.1.0', 'TX-100/', '/v1', 'TX-100/a/b', 'TX-100/a@b@c'])(
    'takes no other text: %s',
    (text) => {
      expect(parseFirmwareTitle(text)).toBeUndefined();
    },
  );
});
