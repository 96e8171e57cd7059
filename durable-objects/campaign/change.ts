/** Changing a campaign that was made before: whether it still is what was looked at, and what has become fixed. */
import type { CampaignChange, CampaignRow } from '../../store/campaigns.ts';
import { digestSecret } from '../../store/credentials.ts';
import type { CampaignState } from './definition.ts';
import type { Outcome } from './operator.ts';
import { sameReach } from './stages.ts';

/** What an operator wants to be otherwise; the rest stays. */
export type Wanted = Pick<CampaignChange, 'name' | 'firmwareId' | 'target' | 'policy'>;

/** The same as long as nobody changes or approves the campaign; its progress does not change it. */
export const fingerprint = ({ name, firmwareId, target, policy, approvedBy }: CampaignRow): Promise<string> =>
  digestSecret(JSON.stringify([name, firmwareId, target, policy, approvedBy]));

/** Somebody else was faster: whoever asked has to look at it again. */
export const stale = (): Outcome => ({
  ok: false,
  problem: 'somebody has changed it meanwhile: look at it again',
  stale: true,
});

const momentOf = (time: string | null | undefined): number | null => (time == null ? null : Date.parse(time));

/** Why a campaign that has begun cannot be changed like this; `undefined` where it can. */
export function fixedSince({ status, definition }: CampaignState, wanted: Wanted): string | undefined {
  if (status === 'cancelled' || status === 'rolled_back') return `the campaign is ${status}`;
  if (wanted.target !== undefined || wanted.firmwareId !== undefined) {
    return 'it has begun: its firmware and its devices are fixed';
  }
  if (wanted.policy === undefined) return undefined;
  const before = definition.policy;
  const { stages, kind, start_at } = wanted.policy;
  if (momentOf(start_at) !== momentOf(before.start_at))
    return 'it has begun: it cannot start at another time';
  if (!sameReach(stages, before.stages)) {
    return 'the devices of its stages are fixed: only their thresholds and times can change';
  }
  // What "completed" means must not change under devices that have been told one of the two.
  if (kind !== before.kind && (kind === 'download_only' || before.kind === 'download_only')) {
    return 'it has begun: it cannot become download_only, nor cease to be';
  }
  return undefined;
}
