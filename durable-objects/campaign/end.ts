/** A campaign's `end_at`: nobody begins after it. */
import type { CampaignPolicy } from '../../protocol/api.ts';
import type { Book } from './book.ts';
import { ENDED } from './member.ts';

/** That it has passed, in words. */
export function endedBy({ end_at }: CampaignPolicy, now: number): string | undefined {
  return end_at == null || now < Date.parse(end_at) ? undefined : `the campaign ended at ${end_at}`;
}

/** Where it has passed, nobody else starts: the stages are over, and what is under way comes to its end. */
export function endInTime(book: Book, now: number): void {
  const over = endedBy(book.definition.policy, now);
  if (over === undefined) return;
  if (book.state.sweep === null) book.sweep(ENDED, over, now);
  book.state.stage = book.definition.policy.stages.length - 1;
}
