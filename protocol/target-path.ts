/** How firmware and apps are called in the update metadata, and by people. */

export interface Named {
  kind: 'firmware' | 'app';
  /** Of an app; null where it has none, and for firmware. */
  name: string | null;
  model: string;
  version: string;
}

/** `v1.1.0`, or `maps@v1.1.0` for an app. */
const label = ({ kind, name, version }: Named): string =>
  kind === 'app' ? `${name ?? ''}@${version}` : version;

/** The target's path in the update metadata: `TX-100/v1.1.0.bin`, `TX-100/maps@v1.1.0.bin`. */
export const targetPath = (named: Named): string => `${named.model}/${label(named)}.bin`;

/** What people call it: `TX-100/v1.1.0`, `TX-100/maps@v1.1.0`. */
export const firmwareTitle = (named: Named): string => `${named.model}/${label(named)}`;

/** What {@link firmwareTitle} was made of; `undefined` where the text is no such title. */
export function parseFirmwareTitle(title: string): Named | undefined {
  const match = /^([^/]+)\/(?:([^@/]*)(@))?([^@/]+)$/.exec(title);
  if (match === null) return undefined;
  const [, model = '', name = '', at, version = ''] = match;
  return at === undefined
    ? { kind: 'firmware', name: null, model, version }
    : { kind: 'app', name: name === '' ? null : name, model, version };
}
