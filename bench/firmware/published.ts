/** Firmware for the benches, and the way to its bytes. */
import { setTimeout as wait } from 'node:timers/promises';
import { publishFirmware } from '../../test/publish.ts';
import type { Skylark } from '../../test/skylark.ts';

export const MIB = 1024 * 1024;

export interface Published {
  size: number;
  sha256: string;
  /** Of a signed link. */
  path: string;
}

let versions = 0;

/** Publishes firmware of random bytes that nobody has asked for yet. */
export async function publishBytes(sky: Skylark, size: number): Promise<Published> {
  versions += 1;
  const { id, checksum } = await publishFirmware(sky, `v1.0.${versions}`, { model: 'BENCH', size });
  const link = await fetch(`${sky.facts.url}/api/v1/firmware/${id}/download`, {
    headers: { Authorization: `Bearer ${sky.facts.api_key}` },
    redirect: 'manual',
  });
  const path = link.headers.get('Location');
  if (path === null) throw new Error(`the link was answered ${link.status}`);
  return { size, sha256: checksum.slice('sha256:'.length), path };
}

/** Resolves when the edge has its own copy of a firmware that was asked for. */
export async function cached({ facts }: Skylark, { sha256 }: Published): Promise<void> {
  const end = Date.now() + 60_000;
  for (;;) {
    const response = await fetch(`${facts.url}/bench/cached/${sha256}`, { headers: { Range: 'bytes=0-0' } });
    await response.arrayBuffer();
    if (response.status === 206) return;
    if (Date.now() > end) throw new Error(`the firmware was not cached: ${response.status}`);
    await wait(50);
  }
}
