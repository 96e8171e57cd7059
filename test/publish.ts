/** A published firmware, as CI makes one. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiClient } from '../cli/api-client.ts';
import { upload } from '../cli/firmware.ts';
import { publish } from '../cli/publish.ts';
import { openSigningKey } from '../cli/tuf-keys.ts';
import type { Firmware } from '../protocol/api.ts';
import type { Skylark } from './skylark.ts';

export async function publishFirmware(
  { facts }: Pick<Skylark, 'facts'>,
  version: string,
  {
    model = 'TX-100',
    size = 200_000,
    app,
    ...more
  }: { model?: string; size?: number; app?: string; min_version?: string } = {},
): Promise<Firmware> {
  const directory = mkdtempSync(join(tmpdir(), 'skylark-firmware-'));
  try {
    const file = join(directory, 'firmware.bin');
    writeFileSync(file, randomBytes(size));
    const api = new ApiClient(facts.url, facts.api_key);
    const uploaded = await upload(api, file, {
      version,
      model,
      kind: app === undefined ? 'firmware' : 'app',
      ...(app === undefined ? {} : { name: app }),
      release_notes: '',
      ...more,
    });
    return await publish(api, uploaded, await openSigningKey(readFileSync(facts.release_key, 'utf8')));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
