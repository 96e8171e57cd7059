/** The command that offers a device its update. */
import { signDownload } from '../../protocol/download-link.ts';
import type { OtaUpdate } from '../../protocol/messages.ts';
import { targetPath } from '../../protocol/target-path.ts';
import { readSettings } from '../coordinator/settings.ts';
import type { Env } from '../env.ts';
import type { Definition } from './definition.ts';
import type { Member } from './member.ts';

/**
 * The `ota_update` for a member, with a download link of its own. Made again in the same attempt it has the same
 * `command_id`: a device that sees both does the work once.
 */
export async function offerCommands(
  env: Env,
  definition: Definition,
  members: readonly Member[],
): Promise<{ member: Member; command: OtaUpdate; expires_at: number }[]> {
  if (members.length === 0) return [];
  const { download_link_s } = await readSettings(env);
  const expires = Math.floor(Date.now() / 1000) + download_link_s;
  const { firmware } = definition;
  // Campaigns begun before apps had names have none.
  const named = { ...firmware, name: firmware.name ?? null };
  return Promise.all(
    members.map(async (member) => {
      const path = await signDownload(env.DOWNLOAD_KEYS, {
        sha256: firmware.sha256,
        filename: targetPath(named).replaceAll('/', '-'),
        serial_no: member.serial_no,
        expires,
      });
      const command: OtaUpdate = {
        command: 'ota_update',
        command_id: `${definition.id}.${member.attempt}`,
        campaign_id: definition.id,
        version: firmware.version,
        url: env.PUBLIC_URL + path,
        checksum: `sha256:${firmware.sha256}`,
        size_bytes: firmware.size_bytes,
        ...(firmware.kind === 'app' ? { kind: 'app' as const } : {}),
        ...(named.name === null ? {} : { name: named.name }),
        target: targetPath(named),
        metadata_url: `${env.PUBLIC_URL}/tuf/`,
      };
      return { member, command, expires_at: expires * 1000 };
    }),
  );
}
