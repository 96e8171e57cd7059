/** Entity tags and `If-Match` (RFC 9110 §13.1.1): a change made on an old version is refused. */
import { campaign as shape } from '../../protocol/api.ts';
import { digestSecret } from '../../store/credentials.ts';
import type { AppContext } from '../context.ts';
import type { CampaignNow } from '../operations/campaigns.ts';
import { ProblemError } from '../problem.ts';

/**
 * Of what an operator says of a campaign, what was done to it, and where it stands; its progress does not change it, nor
 * does the order in which the ledger or the cache has its fields.
 */
export async function etagOf({
  campaign,
  revision,
}: Pick<CampaignNow, 'campaign' | 'revision'>): Promise<string> {
  const {
    updated_at: _u,
    status_reason: _r,
    started_at: _s,
    finished_at: _f,
    ...said
  } = shape.parse(campaign);
  return `"${(await digestSecret(JSON.stringify([said, revision]))).slice(0, 32)}"`;
}

/** Throws a 412 where the request has an `If-Match` that names another version. */
export async function requireMatch(c: AppContext, now: CampaignNow): Promise<void> {
  const wanted = c.req.header('If-Match');
  if (wanted === undefined || wanted.trim() === '*') return;
  const tags = wanted.split(',').map((tag) => tag.trim());
  if (tags.includes(await etagOf(now))) return;
  throw new ProblemError(
    412,
    'Changed meanwhile',
    'The campaign is no longer as you read it: read it again, then repeat your change.',
  );
}
