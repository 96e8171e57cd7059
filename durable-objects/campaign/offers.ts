/** The command that offers a device its update. */
import { signDownload } from '../../protocol/download-link.ts';
import { type OtaUpdate, UNNAMED_APP } from '../../protocol/messages.ts';
import { targetPath } from '../../protocol/target-path.ts';
import { readSettings } from '../coordinator/settings.ts';
import type { Env } from '../env.ts';
import type { Artifact, Definition } from './definition.ts';
import { nextStep } from './joining.ts';
import { type Member, OFFER_PATIENCE_MS } from './member.ts';
import { installBy } from './member-clock.ts';

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
  const now = Date.now();
  const expires = Math.floor(now / 1000) + download_link_s;
  const offers = members.flatMap((member) => {
    const firmware = nextStep(definition, member.version);
    return firmware === undefined ? [] : [{ member, firmware }];
  });
  return Promise.all(
    offers.map(async ({ member, firmware }) => {
      const named = { ...firmware, name: firmware.name ?? null };
      const path = await signDownload(env.DOWNLOAD_KEYS, {
        sha256: firmware.sha256,
        filename: targetPath(named).replaceAll('/', '-'),
        serial_no: member.serial_no,
        expires,
      });
      const command: OtaUpdate = {
        command: 'ota_update',
        command_id: commandId(definition, firmware, member),
        campaign_id: definition.id,
        version: firmware.version,
        url: env.PUBLIC_URL + path,
        checksum: `sha256:${firmware.sha256}`,
        size_bytes: firmware.size_bytes,
        ...(firmware.kind === 'app' ? { app: named.name ?? UNNAMED_APP } : {}),
        target: targetPath(named),
        metadata_url: `${env.PUBLIC_URL}/tuf/`,
        ...kindOf(definition, member),
      };
      // Later it is offered anew, or no more: a command that lay at the broker must start nothing then.
      return { member, command, expires_at: now + OFFER_PATIENCE_MS };
    }),
  );
}

/** What the device is to make of it; nothing is said where it is to install it. */
function kindOf({ policy }: Definition, member: Member): Pick<OtaUpdate, 'kind' | 'install_by'> {
  if (policy.kind === 'forced') return {};
  const by = installBy(member, policy);
  return { kind: policy.kind, ...(by === undefined ? {} : { install_by: Math.floor(by / 1000) }) };
}

/** The same for every command of one attempt at one release. */
function commandId({ id, firmware, steps }: Definition, artifact: Artifact, { attempt }: Member): string {
  return artifact === firmware ? `${id}.${attempt}` : `${id}.${attempt}.${steps.indexOf(artifact)}`;
}
